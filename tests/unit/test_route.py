from builders import a_world, child, planned


def test_route_sets_no_timeout():
    """A streamed answer may take as long as the model needs."""
    route = child(planned(a_world(gateway="infra/web", url="http://{name}.example.com")), "HTTPRoute", "llama")
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "llama", "port": 80}]}]
