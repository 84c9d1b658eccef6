"""The service as it would be run: two front workers on PostgreSQL, keys, mutual TLS for gRPC."""

import pytest
import sqlalchemy as sa
import stamina

from serving.client import Client, Tls, UnreachableError
from serving.keys import add
from serving.problems import ForbiddenError, UnauthenticatedError
from serving.wire import OfferRequest
from tests.serving.papers import papers_in

pytest_plugins = ["tests.e2e.project"]

CONNECTIONS = 60  # the kernel spreads them: that all meet one of two workers is one in 2 ** 59


@pytest.fixture(scope="module")
def database(postgresql):
    """A database of the record's own."""
    admin = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE production"))
    admin.dispose()
    engine = sa.create_engine(postgresql.set(database="production"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return papers_in(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def web(keys):
    return add(keys, "web", ["offer"], rate=10_000)


@pytest.fixture(scope="module")
def environment(project, database, papers, keys):
    files = {
        "FINNT_GRPC_TLS_KEY_FILE": papers["service"][0],
        "FINNT_GRPC_TLS_CERT_FILE": papers["service"][1],
        "FINNT_GRPC_CLIENT_CA_FILE": papers["authority"][1],
        "FINNT_AUTH_KEYS_FILE": keys,
    }
    return {
        **project.environment,
        **{name: str(path) for name, path in files.items()},
        "FINNT_AUTH_OFF": "no",
        "FINNT_FRONT_WORKERS": "2",
        "FINNT_RECORD_URL": database.url.render_as_string(hide_password=False),
    }


@pytest.fixture(scope="module")
def service(project, environment, web):
    migrated = project.run("-m", "cli", "decisions", "migrate", environment=environment)
    assert migrated.returncode == 0, migrated.stderr
    with project.server("-m", "cli", "serve", environment=environment) as running:
        yield running


def tls_of(papers, name=None):
    key, certificate = papers[name] if name else (None, None)
    return Tls(ca_file=papers["authority"][1], key_file=key, cert_file=certificate)


@pytest.fixture
def caller(service, papers, web):
    """Return what opens a connection of its own for a caller whom the authority signed."""
    return lambda key=web: Client.grpc(service.grpc, key=key, tls=tls_of(papers, "caller"))


def writer_of(database, decision_id):
    asked = sa.text("SELECT writer FROM records WHERE kind = 'decision' AND decision_id = :id")
    with database.connect() as connection:
        return connection.execute(asked, {"id": decision_id}).scalar_one()


def test_connections_meet_both_workers_and_the_chain_of_each_verifies(
    project, environment, database, caller, example
):
    asked, writers = OfferRequest(**example), {}
    for _ in range(CONNECTIONS):
        with caller() as client:
            answer = client.offers(asked)
        writers[writer_of(database, answer.decision_id)] = answer.model_copy(
            update={"decision_id": ""}
        )
        if len(writers) == 2:
            break
    first, second = writers.values()
    assert first == second
    verified = project.run("-m", "cli", "decisions", "verify", environment=environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "the record is whole" in verified.stdout


def test_both_doors_answer_and_refuse_alike(service, caller, web, example):
    asked = OfferRequest(**example)
    with caller() as by_grpc, Client.http(service.url, key=web) as by_http:
        first, second = by_grpc.offers(asked), by_http.offers(asked)
        assert first.model_copy(update={"decision_id": second.decision_id}) == second
        with pytest.raises(ForbiddenError) as here:
            by_grpc.decision(first.decision_id)
        with pytest.raises(ForbiddenError) as there:
            by_http.decision(first.decision_id)
        assert str(here.value) == str(there.value)
    for key in (None, web[:-1] + ("0" if web[-1] != "0" else "1")):
        with caller(key) as client, pytest.raises(UnauthenticatedError):
            client.offers(asked)


@pytest.mark.parametrize("who", ["nobody", "stranger", "plain"])
def test_whom_the_authority_did_not_sign_is_not_talked_to(service, papers, web, example, who):
    tls = {"nobody": tls_of(papers), "stranger": tls_of(papers, "stranger"), "plain": None}[who]
    with (
        Client.grpc(service.grpc, key=web, tls=tls) as client,
        stamina.set_testing(True, attempts=1),
        pytest.raises(UnreachableError),
    ):
        client.offers(OfferRequest(**example))


def test_a_repeated_request_gets_its_first_answer_from_whichever_worker(caller, example):
    with caller() as first:
        answer = first.offers(OfferRequest(**example), idempotency_key="one")
    for _ in range(4):
        with caller() as client:
            again = client.offers(OfferRequest(**example), idempotency_key="one")
        assert again == answer
