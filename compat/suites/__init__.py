"""The suites: one file for each peer or promise. What a suite may have is told in harness/runner.py."""
