"""What Serve is given for a model that several Macs hold together."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_project import Project
from served_project import LAB, MEMORY, config_of, models, override, planned, qwen, tiny

from fleet.cables import Port, PortReport
from fleet.memory import need_of
from fleet.plan import make_plan
from fleet.ports import RING_PORT, RING_PORTS
from fleet.serve import serve_config


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_group_of_mlx(project: Project) -> None:
    qwen(project)
    tiny(project, '"engine": "mlx", "shape": 2, "macs": "workers",')
    config = config_of(project)
    bundle = config["placement_group_config"]["bundles"][0]
    assert config["placement_group_config"] == {"bundles": [bundle, bundle], "strategy": "STRICT_SPREAD"}
    assert bundle["memory"] == need_of(project.load().models[0], 2).total
    assert config["experimental_configs"] == {
        "macs": [{"raylab.io/mac": "beta"}, {"raylab.io/mac": "gamma"}],
        "ring": [{"mac": "beta", "address": "10.77.0.12"}, {"mac": "gamma", "address": "10.77.0.13"}],
        "ring_port": RING_PORT + RING_PORTS * planned(project).placements["tiny"].slot,
    }
    assert override(project)["num_replicas"] == 1


def test_groups_that_share_macs_have_ports_of_their_own(project: Project) -> None:
    qwen(project)
    group = '"engine": "mlx", "shape": 3'
    models(project, f'"id": "a", {group}', '"id": "b"', f'"id": "c", {group}')
    ports = [config_of(project, model)["experimental_configs"]["ring_port"] for model in ("a", "c")]
    assert abs(ports[0] - ports[1]) >= RING_PORTS
    assert all(28672 <= port <= 32768 - RING_PORTS for port in ports)


def test_a_group_over_cables_stands_in_the_order_of_its_ring(project: Project) -> None:
    qwen(project)
    for address in ("10.77.0.11", "10.77.0.12", "10.77.0.13"):
        project.change(LAB, f'"{address}"', f'"{address}", "thunderbolt": ["en2", "en3"]')
    tiny(project, '"engine": "mlx", "shape": 3,')
    ring = {"alpha": ("beta", "gamma"), "beta": ("alpha", "gamma"), "gamma": ("alpha", "beta")}
    reports = {
        name: PortReport(
            tuple(
                Port(f"Thunderbolt {index + 1}", f"en{index + 2}", f"{name}-{other}", peer=f"{other}-{name}", speed=80)
                for index, other in enumerate(others)
            ),
            rdma=("en2", "en3"),
        )
        for name, others in ring.items()
    }
    plan = make_plan(project.load(), MEMORY, reports=reports)
    (links,) = plan.links["tiny"]
    found = serve_config(plan.fleet, plan)["applications"][1]["args"]["experimental_configs"]
    assert [each["mac"] for each in found["ring"]] == [rank.mac.name for rank in links.ranks]
    assert [each["address"] for each in found["ring"]] == [rank.address for rank in links.ranks]
    assert all(each["address"].startswith("10.183.") for each in found["ring"])
    assert [each["rdma"] for each in found["ring"]] == [list(rank.devices) for rank in links.ranks]
    assert [each["raylab.io/mac"] for each in found["macs"]] == [rank.mac.name for rank in links.ranks]


def test_a_group_of_vllm_is_a_pipeline(project: Project) -> None:
    tiny(project, '"shape": 2, "macs": "workers", "env": {"A": "1"},')
    config = config_of(project)
    port = RING_PORT + RING_PORTS * planned(project).placements["tiny"].slot
    assert config["accelerator_config"] == {"kind": "tpu"}
    assert config["engine_kwargs"] == {
        "max_model_len": 512,
        "max_num_seqs": 4,
        "pipeline_parallel_size": 2,
        "async_scheduling": False,
    }
    assert config["experimental_configs"] == {"macs": [{"raylab.io/mac": "beta"}, {"raylab.io/mac": "gamma"}]}
    assert config["runtime_env"] == {
        "worker_process_setup_hook": "vllm_metal.compat._patch_ray_distributed",
        "env_vars": {"VLLM_METAL_RING_BASE_PORT": str(port), "A": "1"},
    }
