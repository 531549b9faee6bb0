from builders import a_world, child, planned


def test_pods_carry_our_labels_and_the_recommended_ones():
    deployment = child(planned(a_world()), "Deployment", "llama-predict-v1")
    ours = {
        "mlservice.tensorstack.dev/name": "llama",
        "mlservice.tensorstack.dev/release": "v1",
        "mlservice.tensorstack.dev/component": "predictor",
    }
    recommended = {
        "app.kubernetes.io/name": "mlservice",
        "app.kubernetes.io/instance": "llama",
        "app.kubernetes.io/managed-by": "mlservice-operator",
    }
    assert deployment["spec"]["selector"]["matchLabels"] == ours
    assert ours.items() | recommended.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
