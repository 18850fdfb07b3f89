"""The product's servers: what a declaration may hold, what is put in for placeholders, and what a broken file stops."""

import json
import socket
import threading
from pathlib import Path

import pytest

from infra.config.identity import Project, Service, service_of
from infra.config.secret import Secret
from infra.declaration.compose import compose_model
from infra.declaration.service import ProductService, ServiceSpec, start_order
from infra.declaration.spec import StackSpec, build_stack
from infra.stack.probes import NotReady, probe_port
from tests.ground.unit.test_help import invoke_each
from tests.kit.stack import make_settings

MAIL = ServiceSpec(
    name="mail",
    ports=(1025, 8025),
    image="mail:1",
    command=("mail", "{host}:{port}", "--web", "{port:8025}"),
    environment={"QUEUE": "redis://{host:redis}:{port:redis}", "TEMPLATE": '{"port": 1}'},
    depends_on=("redis",),
)


def declared(*specs: ServiceSpec) -> StackSpec:
    """Return a stack with these servers of the product."""
    stack = build_stack(make_settings(), Project("shop-12345678", "/shop"))
    secrets = (("TOKEN", "MAIL_TOKEN", Secret("hidden")),)
    return stack._replace(
        services=tuple(ProductService(spec, spec.image, (None,) * len(spec.ports), secrets) for spec in specs)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Mail"},
        {"name": "redis"},
        {"name": "mail-look"},
        {"name": "a--b"},
        {"ports": ()},
        {"ports": (0,)},
        {"ports": (25, 25)},
        {"image": ""},
        {"data_path": "data"},
        {"command": "mail"},
        {"secrets": {"TOKEN": "a token"}},
    ],
)
def test_what_no_backend_could_run_is_refused(wrong: dict[str, object]) -> None:
    """A name of the stack's own, a port that is none, words in one text: at the line that declares it."""
    with pytest.raises(ValueError, match=r"\w"):
        ServiceSpec(**{"name": "mail", "ports": (25,), "image": "mail:1"} | wrong)  # type: ignore[arg-type]


def test_compose_has_the_products_servers() -> None:
    """Placeholders stand for the network's names, secrets for the environment, and other braces for themselves."""
    found = compose_model(declared(MAIL))["services"]["mail"]
    assert found["command"] == ["mail", "0.0.0.0:1025", "--web", "8025"]
    assert found["environment"]["QUEUE"] == "redis://redis:6379"
    assert found["environment"]["TEMPLATE"] == '{"port": 1}'
    assert [port["target"] for port in found["ports"]] == [1025, 8025]
    assert {port["host_ip"] for port in found["ports"]} == {"127.0.0.1"}
    assert found["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert found["container_name"] == "shop-12345678-product-mail"
    assert "hidden" not in json.dumps(found)


def test_a_server_starts_after_those_that_it_depends_on() -> None:
    """Each stage adds the servers whose dependencies serve by then; who depends on one that is left out is, too."""
    web = ServiceSpec(name="web", ports=(80,), image="web:1", depends_on=("mail",))
    stack = declared(web, MAIL)
    assert [[s.service for s in stage.services] for stage in stack.stages()] == [[], ["mail"], ["web", "mail"]]
    without = stack.without({Service("mail"): "it names no program"})
    assert (without.services, [name for name, _ in without.left_out]) == ((), ["mail", "web"])
    around = ServiceSpec(name="mail", ports=(25,), image="mail:1", depends_on=("web",))
    with pytest.raises(ValueError, match="none can be first"):
        start_order((web, around))


def test_object_names_tell_which_server_is_meant() -> None:
    """No name of the tests' stack of the same checkout, and none that a person gave, is taken for a server's."""
    for name in ("postgres", "mail", "web-mail"):
        assert service_of(Service(name).object_name) == name
    assert [service_of(n) for n in ("test-postgres", "mail", "test-product-mail", "product-", "product-A")] == [
        None
    ] * 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services = [", "infra/product/services.py:"),
        ("x = 1\nraise OSError('no such share')", "infra/product/services.py:2: "),
        (
            "from infra.declaration.service import ServiceSpec as Server\nservices = [Server(name='A', ports=(1,))]",
            "infra/product/services.py:2: ",
        ),
        ("services = ['mail']", "not only ServiceSpec"),
    ],
)
def test_a_broken_file_stops_up_and_plan_alone(copy: Path, text: str, said: str) -> None:
    """The error names file and line; what ends or shows a stack works all the same."""
    (copy / "infra" / "product" / "services.py").write_text(text)
    up, plan, down, status, logs = invoke_each(copy, [["up"], ["plan"], ["down"], ["status"], ["logs"]])
    assert [plan.code, up.code, down.code, status.code, logs.code] == [2, 2, 0, 0, 0]
    for refused in (plan, up):
        assert said in refused.err, refused.err
        assert "Traceback" not in refused.err


@pytest.mark.parametrize("ready", [True, False])
def test_a_port_that_closes_every_connection_does_not_serve(ready: bool) -> None:
    """An engine's proxy accepts for a container in which nobody listens yet; a server waits for what a client says."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        asked = threading.Event()

        def answer() -> None:
            with proxy.accept()[0]:
                if ready:
                    asked.wait(10)

        threading.Thread(target=answer, daemon=True).start()
        try:
            if ready:
                probe_port("mail", proxy.getsockname()[1])
            else:
                with pytest.raises(NotReady, match="closes every connection"):
                    probe_port("mail", proxy.getsockname()[1])
        finally:
            asked.set()
