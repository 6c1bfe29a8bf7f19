"""What the suites share: a gateway to start and kill, peers to point at it, and eyes to see what arrived.

Reading order: runner (what a test is given), gateway, log_service (queries), forward (a client that counts its acks),
fake_service (a Log Service that fails on command), docker (an Engine of our own), proxy.
"""
