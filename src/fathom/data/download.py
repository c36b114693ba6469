"""One file from one address, in bounded memory and time; a plain sentence for every failure."""

import contextlib
import queue
import threading
from typing import Final

from fathom.errors import DataError

TIMEOUT_S: Final = (3.0, 10.0)  # to connect, and between two pieces of an answer
DEADLINE_S: Final = 600.0  # for one file, however slowly it trickles
_CHUNK: Final = 65_536  # bytes taken from the network at once


def download(address: str, limit: int) -> bytes:
    """Download a file into memory.

    Args:
        address: Where it is.
        limit: Largest allowed size in bytes.

    Returns:
        What was sent; nobody has verified it.

    Raises:
        DataError: If that fails; the text names the address and what happened.
    """
    try:
        return _receive(address, limit)
    except (DataError, OSError, ValueError) as error:  # requests' errors are OSErrors
        raise DataError(f"{address}: {_describe_failure(error)}") from error


def _receive(address: str, limit: int) -> bytes:
    """Download into memory, in a thread that is left alone when the deadline passes.

    A trickle of bytes, or a name with many dead addresses, outlasts every time-out of a socket.

    Raises:
        DataError: If it is too long or not finished in time.
        Exception: Whatever the download raised.
    """
    import pooch
    import requests

    outcome: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def work() -> None:
        sink = _Sink(limit)
        answers = contextlib.ExitStack()  # pooch leaves the connection of a failure open

        def keep(answer: requests.Response, *_: object, **__: object) -> None:
            answers.callback(answer.close)

        downloader = pooch.HTTPDownloader(
            timeout=TIMEOUT_S, chunk_size=_CHUNK, hooks={"response": keep}
        )
        try:
            with answers:
                downloader(address, sink, None)
        except Exception as error:  # handed over to the thread that waits
            outcome.put(error)
        else:
            outcome.put(bytes(sink.content))

    threading.Thread(target=work, name="fathom-download", daemon=True).start()
    try:
        result = outcome.get(timeout=DEADLINE_S)
    except queue.Empty:
        raise DataError(f"not finished after {DEADLINE_S:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


class _Sink:
    """Takes a download into memory; refuses one that is too long."""

    def __init__(self, limit: int) -> None:
        self.content = bytearray()
        self._limit = limit

    def write(self, piece: bytes) -> None:
        self.content += piece
        if len(self.content) > self._limit:
            raise DataError(f"sent more than the {self._limit:,} bytes that the file can have")

    def flush(self) -> None:
        pass  # every piece already lies in memory


def _describe_failure(error: Exception) -> str:
    from requests import exceptions

    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.TooManyRedirects):
        return "redirects in a circle"
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error):
        return f"no answer within {TIMEOUT_S[0]:g} s (to connect) or {TIMEOUT_S[1]:g} s (to go on)"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the connection broke off before the end"
    if isinstance(error, exceptions.ConnectionError):
        kind = type(error).__name__  # SSLError and ProxyError tell what to look at
        return "no connection" + (f" ({kind})" if kind != "ConnectionError" else "")
    return f"{type(error).__name__}: {error}"
