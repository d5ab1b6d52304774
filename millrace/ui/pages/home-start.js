/** The code that fills an empty Home, and an endpoint that has not served. */
import { asCode } from "../parts/code.js";

/** How the first version comes to serve. @param {{name: string}} endpoint */
export const serving = ({ name }) => asCode("rollout.start", { endpoint: name, number: 1 });

/** How event time moves on: to the end of the first block after `at`, in event time. */
export const advancing = ({ name, block_s, day_origin }, at) => {
  const size = block_s * 1e6;
  return asCode("endpoint.advance", { endpoint: name, until: (Math.floor((at - day_origin) / size) + 1) * size + day_origin });
};

export const START = {
  all: {
    Demo: "millrace demo",
    Python: `import millrace as mr

millrace = mr.connect("${location.origin}")
millrace.call("dataset.make", name="rides", key=["id"], event="at",
              columns={"id": "text", "at": "time", "riders": "number"})
millrace.call("dataset.push", tables={"rides": {
    "id": ["a"], "at": [1_372_636_800_000_000], "riders": [12.0]}})`,
    curl: `curl -s ${location.origin}/api/v1/dataset.make \\
  -H 'Content-Type: application/json' \\
  -d '{"name": "rides", "key": ["id"], "event": "at",
       "columns": {"id": "text", "at": "time", "riders": "number"}}'`,
  },
  endpoint: {
    Python: `import millrace as mr

millrace = mr.connect("${location.origin}")
millrace.call("endpoint.make", name="demand", model="demand", event="at")
millrace.call("rollout.start", endpoint="demand", number=1)
millrace.call("monitor.watch", endpoint="demand", pipeline="nightly")`,
    curl: `curl -s ${location.origin}/api/v1/endpoint.make \\
  -H 'Content-Type: application/json' \\
  -d '{"name": "demand", "model": "demand", "event": "at"}'
curl -s ${location.origin}/api/v1/rollout.start \\
  -H 'Content-Type: application/json' \\
  -d '{"endpoint": "demand", "number": 1}'`,
    CLI: `export MILLRACE_URL=${location.origin}
millrace endpoint make demand demand --event at
millrace rollout start demand 1
millrace monitor watch demand --pipeline nightly`,
  },
};
