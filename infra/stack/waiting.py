"""The stack's one waiting policy: exponential back-off with a cap, one deadline, three outcomes."""

from collections.abc import Callable
from datetime import timedelta

from infra.config.errors import StartTimeout
from infra.stack.probes import NotReady


def wait_until_ready(probe: Callable[[], None], still_alive: Callable[[], None], timeout: timedelta) -> None:
    """Call `probe` until it returns.

    `still_alive` is called before each further attempt and raises where the server has ended, so that nobody waits
    for the dead. Anything but `NotReady` ends the wait at once.

    Raises:
        StartTimeout: the deadline passed; its message is the last attempt's.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

    def check(_: RetryCallState) -> None:
        still_alive()

    retrying = Retrying(
        retry=retry_if_exception_type(NotReady),
        stop=stop_before_delay(timeout),
        wait=wait_exponential(multiplier=0.005, exp_base=1.2, max=0.05),
        before_sleep=check,
        reraise=True,
    )
    try:
        retrying(probe)
    except NotReady as error:
        raise StartTimeout(
            f"Not ready within {timeout.total_seconds():g} s. {error}. Run `invoke up` again if its log says that it "
            "recovers; STACK_START_TIMEOUT gives it longer, and `invoke doctor` looks at the machine."
        ) from None
