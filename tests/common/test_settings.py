import pytest

from lwmecps_core.config import config
from lwmecps_core.errors import InvalidInput
from services.common.settings import ServerSettings, read


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
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        ServerSettings(**settings)
