"""
Reads and decodes the body of a response, with a size limit.
"""

from __future__ import annotations

import zlib

from runbook_lib.remote.http_library import httpx
from runbook_lib.remote.limits import RejectedResponseError

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


def read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """
    Return the decoded body of `response`, at most `max_bytes`.

    Raises `RejectedResponseError` for a larger body and for an encoding that was not requested,
    and `httpx.DecodingError` for broken gzip data.
    """
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise RejectedResponseError("a body that cannot be read")
    decoder = _choose_decoder(response.headers, max_bytes)
    pieces: list[bytes] = []
    size = 0
    arrived = 0
    for chunk in stream:
        arrived += len(chunk)
        piece = decoder.decode(chunk) if decoder else chunk
        size += len(piece)
        if max(size, arrived) > max_bytes:
            raise RejectedResponseError(f"a body of more than {max_bytes // 1024:,} KiB")
        pieces.append(piece)
    if decoder:
        decoder.finish()
    return b"".join(pieces)


def _choose_decoder(headers: httpx.Headers, max_bytes: int) -> _GzipDecoder | None:
    named = [
        name.strip().lower() for name in headers.get_list("content-encoding", split_commas=True)
    ]
    encodings = [name for name in named if name not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in ("gzip", "x-gzip"):
        # NOTE: layers multiply: a body that is encoded twice may grow a million times.
        what = f"a body encoded as {', '.join(encodings)[:60]}, which the runbook did not request"
        raise RejectedResponseError(what)
    return _GzipDecoder(max_bytes)


class _GzipDecoder:
    """Decodes gzip (RFC 1952), with one or more members, to at most `max_bytes` + 1 bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._bytes_left = max_bytes + 1
        self._decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
        self._has_begun = False

    def decode(self, chunk: bytes) -> bytes:
        """Return the decoded `chunk`, cut at the limit of the whole."""
        pieces = []
        while chunk and self._bytes_left > 0:
            if self._decompressor.eof:
                if not chunk.startswith(b"\x1f"):
                    # NOTE: bytes after the last member are padding, which every reader ignores.
                    break
                self._decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
            try:
                piece = self._decompressor.decompress(chunk, self._bytes_left)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            self._has_begun = True
            self._bytes_left -= len(piece)
            pieces.append(piece)
            chunk = self._decompressor.unused_data
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise `httpx.DecodingError` if the data ended too early."""
        if self._has_begun and not self._decompressor.eof:
            raise httpx.DecodingError("the gzip data is incomplete")
