"""What the chart's network policies let the workers, and so all flows, reach."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.chart.helm import TRIAL, Helm, Manifest, Rendered, with_values
from fixtures.chart.values import COMBINATIONS, OWN_DATABASE

INSIDE = [
    # Loopback, unspecified, private, shared, link-local, metadata of clouds, benchmarks, multicast, reserved.
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.96.0.1", "10.244.3.7", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "168.63.129.16"),
    *("192.0.0.192", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001::1", "2001:db8::1", "3fff::1"),
    *("fe80::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "ff02::1", "fec0::1", "100::1", "4000::1", "::10.0.0.1"),
]
OUTSIDE = [
    *("1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "11.0.0.1"),
    *("168.63.129.17", "192.169.0.1", "169.253.0.1", "223.255.255.254", "2606:4700:4700::1111", "2a00:1450::1"),
]
PORTS = st.integers(1, 65535).filter(lambda port: port not in (53, 5432))


@dataclass(frozen=True)
class Reach:
    """What Pods with some labels may reach, by all egress policies that select them."""

    rules: list[Manifest] | None

    @classmethod
    def of(cls, rendered: Rendered, **labels: str) -> Reach:
        rules: list[Manifest] | None = None
        for policy in rendered.of("NetworkPolicy"):
            wanted = policy["spec"]["podSelector"]["matchLabels"]
            if "Egress" in policy["spec"]["policyTypes"] and wanted.items() <= labels.items():
                rules = [*(rules or []), *policy["spec"].get("egress", [])]
        return cls(rules)

    @property
    def restricted(self) -> bool:
        return self.rules is not None

    def address(self, address: str, port: int = 443, protocol: str = "TCP") -> bool:
        """Whether an address that is no Pod's, or whose Pod no selector means, may be reached."""
        return self.rules is None or any(
            _to(rule, ip_address(address)) and _at(rule, port, protocol) for rule in self.rules
        )


def _to(rule: Manifest, address: IPv4Address | IPv6Address) -> bool:
    blocks: Iterator[Manifest] = (each["ipBlock"] for each in rule.get("to", []) if "ipBlock" in each)
    return not rule.get("to") or any(
        address in ip_network(block["cidr"]) and not any(address in ip_network(each) for each in block["except"])
        for block in blocks
    )


def _at(rule: Manifest, port: int, protocol: str) -> bool:
    return not rule.get("ports") or any(
        each.get("protocol", "TCP") == protocol and each.get("port", port) == port for each in rule["ports"]
    )


def worker(rendered: Rendered, pool: str = "default") -> Reach:
    """Of the Pods of a pool."""
    [template] = [
        each["spec"]["template"]
        for each in rendered.of("Deployment")
        if each["metadata"]["labels"].get("chaingraph.dev/pool") == pool
    ]
    return Reach.of(rendered, **template["metadata"]["labels"])


@pytest.mark.parametrize("address", INSIDE)
def test_worker_cannot_reach_internal_address_by_default(helm: Helm, address: str) -> None:
    reach = worker(helm.template(TRIAL))
    assert reach.restricted
    for port in (22, 80, 443, 2379, 5432, 6443, 8080, 10250):
        for protocol in ("TCP", "UDP", "SCTP"):
            assert not reach.address(address, port, protocol), (port, protocol)


@pytest.mark.parametrize("address", OUTSIDE)
def test_worker_reaches_public_address_by_default(helm: Helm, address: str) -> None:
    reach = worker(helm.template(TRIAL))
    assert reach.address(address, 443)
    assert reach.address(address, 8443)
    assert not reach.address(address, 443, "UDP")


def test_worker_reaches_dns_and_the_database(helm: Helm) -> None:
    reach = worker(helm.template(OWN_DATABASE))
    for protocol in ("TCP", "UDP"):
        assert reach.address("10.96.0.10", 53, protocol)
    assert reach.address("10.1.2.3", 5432)
    at = {"networkPolicy": {"egress": {"database": [{"ipBlock": {"cidr": "10.1.2.3/32", "except": []}}]}}}
    narrow = worker(helm.template(with_values(OWN_DATABASE, at)))
    assert narrow.address("10.1.2.3", 5432)
    assert not narrow.address("10.1.2.4", 5432)


@given(data=st.data(), port=PORTS)
def test_no_private_address_is_within_reach(helm: Helm, data: st.DataObject, port: int) -> None:
    """Whatever the address and the port: by the address space, not by examples."""
    reach = worker(helm.template(OWN_DATABASE))
    network = data.draw(
        st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7"])
    )
    inside = ip_network(network)
    offset = data.draw(st.integers(0, inside.num_addresses - 1))
    assert not reach.address(str(inside[offset]), port)


def test_egress_values_open_and_close_more(helm: Helm) -> None:
    def of(pool: str = "default", **values: Any) -> Reach:
        layers = {"networkPolicy": {"workerEgress": values}}
        return worker(helm.template(with_values(OWN_DATABASE, {"workers": {"own": OWN_POOL}}, layers)), pool)

    assert not of(blocked=["34.118.224.0/20", "2600:2d00::/32"]).address("34.118.224.1")
    assert not of(blocked=["34.118.224.0/20", "2600:2d00::/32"]).address("2600:2d00::1")
    assert of(blocked=["34.118.224.0/20"]).address("34.118.240.1")
    assert not of(internet=False).address("8.8.8.8")
    assert of(internet=False).address("8.8.8.8", 53, "UDP")
    assert not of(internetPorts=[443]).address("8.8.8.8", 80)
    assert of(internetPorts=[443]).address("8.8.8.8", 443)
    assert of(extra=[{"to": [{"ipBlock": {"cidr": "10.5.0.0/16", "except": []}}]}]).address("10.5.0.1", 9)
    assert not of(enabled=False).restricted
    assert of("own").address("10.7.0.1", 8000)
    assert not of("own").address("10.7.0.1", 8001)
    assert not of().address("10.7.0.1", 8000), "that is the other pool's"


OWN_POOL = {
    "queues": ["own"],
    "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.7.0.0/16", "except": []}}], "ports": [{"port": 8000}]}],
}


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://collector.tracing.svc:4318", 4318), ("http://collector", 80), ("https://collector/v1", 443)],
)
def test_worker_reaches_the_collector_of_traces(helm: Helm, endpoint: str, port: int) -> None:
    reach = worker(helm.template(with_values(OWN_DATABASE, {"telemetry": {"otlp": {"endpoint": endpoint}}})))
    assert reach.address("10.8.0.1", port)
    assert not reach.address("10.8.0.1", 4317)


def test_dns_can_be_narrowed_for_all(helm: Helm) -> None:
    rendered = helm.template(COMBINATIONS["everything"])
    for policy in rendered.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            if {"port": 53, "protocol": "UDP"} in rule.get("ports", []):
                assert rule["to"], policy["metadata"]["name"]


def test_workers_and_databases_get_no_token(helm: Helm) -> None:
    """They ask the API server for nothing, so nobody finds a token there: except workers that read Secrets."""
    for values in COMBINATIONS.values():
        for name, template in helm.template(values).pod_templates():
            component = template["metadata"].get("labels", {}).get("app.kubernetes.io/component")
            reads = "CHAINGRAPH_SECRET_NAMESPACES" in json.dumps(template)
            if component in ("migration", "postgresql") or (component == "worker" and not reads):
                assert template["spec"]["automountServiceAccountToken"] is False, name
                volumes = json.dumps(template["spec"].get("volumes", []))
                assert "serviceAccountToken" not in volumes, name
