"""A shop's support desk: tools, manifests, policies and two scripted agents, to be copied from."""
