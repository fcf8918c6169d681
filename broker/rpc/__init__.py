"""The wire: gRPC in, use cases behind, and nothing of protobuf beyond this package.

`door` lets in whoever may come in; one file a service asks the use case; `convert` and its
neighbours turn messages into values and back; `status` turns errors into statuses.
"""
