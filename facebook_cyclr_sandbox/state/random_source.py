"""
The sandbox's only source of randomness: repeatable with a seed.
"""

import base64
import random
import secrets
import string
import uuid

_ALPHANUMERIC = string.ascii_letters + string.digits


class RandomSource:
    """
    The sandbox's only source of randomness.

    With a `seed`, every secret and every fault of a sandbox is repeatable. Without one it uses the
    operating system's randomness.
    """

    def __init__(self, seed: int | str | None = None) -> None:
        self._seed = seed
        repeatable = random.Random(seed).randbytes  # noqa: S311 - only used when asked for
        self._bytes = secrets.token_bytes if seed is None else repeatable

    def derive(self, name: str) -> "RandomSource":
        """Return a source for `name` alone, which draws elsewhere do not change."""
        return RandomSource(None if self._seed is None else f"{self._seed} {name}")

    def bytes(self, length: int) -> bytes:
        """Return `length` random bytes."""
        return self._bytes(length)

    def text(self, alphabet: str, length: int) -> str:
        """Return `length` characters out of `alphabet`."""
        number = int.from_bytes(self.bytes(length + 8))
        characters = []
        for _ in range(length):
            number, index = divmod(number, len(alphabet))
            characters.append(alphabet[index])
        return "".join(characters)

    def digits(self, length: int) -> str:
        """Return a decimal number of `length` digits that does not begin with 0."""
        return self.text("123456789", 1) + self.text(string.digits, length - 1)

    def hexadecimal(self, length: int) -> str:
        """Return `length` lower case hexadecimal digits."""
        return self.text("0123456789abcdef", length)

    def alphanumeric(self, length: int) -> str:
        """Return `length` letters and digits."""
        return self.text(_ALPHANUMERIC, length)

    def base64url(self, length: int) -> str:
        """Return `length` characters of the URL-safe base64 alphabet."""
        return base64.urlsafe_b64encode(self.bytes(length)).decode("ascii")[:length]

    def guid(self) -> str:
        """Return a random UUID."""
        return str(uuid.UUID(bytes=self.bytes(16), version=4))

    def fraction(self) -> float:
        """Return a number from 0 (included) to 1 (excluded)."""
        return int.from_bytes(self.bytes(6)) / 2**48
