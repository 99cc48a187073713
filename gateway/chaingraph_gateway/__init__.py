"""The gateway: what people and programs read of executions, over HTTPS, by the rights they have in the cluster.

It reads the ledger and writes nothing.

    settings, errors, metrics   the environment, what goes wrong in words, the figures
    parameters                  query parameters, checked
    tls, client_ca              the serving certificate and the cluster's client CA, both read again when they change
    addresses, limits           where a request comes from; how much one address and one caller may take
    connections                 what is accepted, how long it may dawdle, and that nothing of it is logged
    cache                       answers of the API server that are kept for a moment
    cluster                     what the API server is asked
    authentication              who asks: a token (TokenReview) or a client certificate
    authorization               may they: SubjectAccessReview
    access                      from a request to the execution that it may see
    reader                      reads of the ledger, and what is answered while PostgreSQL is away
    tasks                       their end
    tail                        the newest events of the executions that somebody follows; one LISTEN connection
    subscriber, streams, sse    one subscriber's way through a log; the answer; the form of Server-Sent Events
    reads, documents, records   details, journal, tree, list
    values                      one value of any size
    server                      routes, errors, TLS
    main                        wiring
"""
