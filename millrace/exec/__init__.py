"""Execution: functions run in child processes with bounds on time and memory, so that no step can take the server down.

A small parent process, warm with the common libraries, forks one child a step. The platform's process never imports a
user's code or a training library; children share nothing with it but the store.
"""
