"""An operator that may not hold its Lease does nothing, so it has to say why."""

from kube import eventually
from rig import Operator


def test_operator_says_why_it_cannot_hold_the_lease(kube, tmp_path):
    operator = Operator(kube, tmp_path / "log", MLSERVICE_LEASE_NAMESPACE="nowhere")
    eventually("the cause is logged", lambda: 'namespaces "nowhere" not found' in operator.text(), 20)
    assert "WARNING Lease nowhere/mlservice-operator cannot be held" in operator.text()
    operator.stop()
