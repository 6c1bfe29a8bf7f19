"""What the suites share: a gateway to start and kill, peers to point at it, and eyes to see what arrived.

Reading order: runner (what a test is given), gateway, log_service (queries), forward (a client that counts its acks),
handshake and certificates (what secures it), openssl, node and fluent_bit (other people's clients), fake_service (a Log
Service that fails on command), sls_calls (the vendor's own clients, and the table of their calls), faulty_way (the way to the
embedded service, with faults), docker (an Engine of our own), drivers and delivery (its log drivers, and the account of
what came through each), syslog_daemon, image (our own one), name_server, proxy, api_server (of Kubernetes, for custom resources),
collection (an operator, and agents of machine groups), own_machine (a name and addresses that may change), service_logs and
victoria_logs (ten million records, and a store beside ours).
"""
