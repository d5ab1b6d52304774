"""Is what serves still good? Answers measured by blocks of event time, judged by verdicts, and told as facts."""
