import pytest

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput
from services.common.settings import ClientSettings, ServerSettings, read, without_password
from services.env_service.settings import EnvServiceSettings
from services.learner_service.settings import LearnerSettings
from services.task_registry.settings import RegistrySettings


@config
class Settings(ServerSettings):
    database_url: str = "sqlite:///x.db"
    tags: tuple[str, ...] = ()


def test_every_setting_has_a_default() -> None:
    assert read(Settings, "LWMECPS_X_", {}) == Settings()


def test_variables_of_other_processes_are_ignored() -> None:
    assert read(Settings, "LWMECPS_X_", {"LWMECPS_Y_PORT": "1", "PATH": "/bin"}) == Settings()


def test_variables_set_inherited_and_own_settings() -> None:
    environ = {"LWMECPS_X_PORT": "5000", "LWMECPS_X_DATABASE_URL": "a", "LWMECPS_X_TAGS": "b, c", "LWMECPS_X_HOST": ""}
    assert read(Settings, "LWMECPS_X_", environ) == Settings(port=5000, database_url="a", tags=("b", "c"))


@pytest.mark.parametrize(
    ("environ", "blamed"),
    [
        ({"LWMECPS_X_PROT": "1"}, "LWMECPS_X_PROT"),
        ({"LWMECPS_X_PORT": "tcp://10.0.0.1:50051"}, "LWMECPS_X_PORT"),
        ({"LWMECPS_X_LOG_FORMAT": "xml"}, "LWMECPS_X_LOG_FORMAT"),
    ],
)
def test_a_bad_variable_is_named(environ, blamed) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(Settings, "LWMECPS_X_", environ)
    assert [violation.field for violation in caught.value.violations] == [blamed]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"workers": 8, "max_streams": 8}, "max_streams must be below workers"),
        ({"tls_cert_file": "c"}, "go together"),
        ({"tls_client_ca_file": "c"}, "needs tls_cert_file"),
        ({"jwks_file": "j", "jwt_audience": "a"}, "go together"),
        ({"jwt_issuer": "i"}, "go together"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        ServerSettings(**settings)


TLS = {"tls_cert_file": "c", "tls_key_file": "k"}


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"host": "127.0.0.1"}, True),
        ({"host": "127.1.2.3"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "[::]"}, False),
        ({"host": "localhost.example.com"}, False),
        ({"host": "10.0.0.1", "token": "t"}, False),
        ({"host": "10.0.0.1", **TLS}, False),
        ({"host": "10.0.0.1", **TLS, "token": "t"}, True),
        ({"host": "10.0.0.1", **TLS, "tokens_file": "t"}, True),
        ({"host": "10.0.0.1", **TLS, "tls_client_ca_file": "ca"}, True),
        ({"host": "10.0.0.1", "insecure": True}, True),
    ],
    ids=str,
)
def test_who_listens_to_others_needs_tls_and_known_callers_or_says_that_he_does_not(given, allowed) -> None:
    if allowed:
        ServerSettings(**given)
        return
    with pytest.raises(InvalidInput, match=r"X_TLS_CERT_FILE.*X_TOKENS_FILE.*X_INSECURE"):
        read(ServerSettings, "X_", {f"X_{name.upper()}": str(value) for name, value in given.items()})


def test_settings_do_not_show_their_secrets() -> None:
    shown = f"{ServerSettings(token='hunter2')} {ClientSettings(token='hunter2')!r}"
    shown += str(RegistrySettings(database_url="postgresql+psycopg://u:hunter2@h/n")) + str(
        LearnerSettings(redis_url="redis://:hunter2@h")
    )
    shown += str(EnvServiceSettings(redis_url="redis://:hunter2@h"))
    assert "hunter2" not in shown and "port=0" in shown
    assert without_password("redis://me:hunter@2@host:6379/0") == "redis://host:6379/0"
    assert without_password("redis://host:6379/0") == "redis://host:6379/0"


@pytest.mark.parametrize(
    ("settings", "prefix"), [(EnvServiceSettings, "LWMECPS_ENV_"), (LearnerSettings, "LWMECPS_LEARNER_")]
)
def test_a_url_of_redis_that_would_alter_replies_is_refused_by_the_name_of_its_variable(settings, prefix) -> None:
    with pytest.raises(InvalidInput, match=f"{prefix}REDIS_URL: .*protocol=3"):
        read(settings, prefix, {f"{prefix}REDIS_URL": "redis://:secret@127.0.0.1:6379/0?protocol=3"})
