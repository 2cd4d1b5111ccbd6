"""What OpenSSL says of two mistakes that can be told from others: no TLS at the other end, an unknown authority."""

from typing import Final

NO_TLS: Final = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What is said of an answer that is no TLS."""
UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21)
"""Codes (`X509_V_ERR_…`) for a certificate that may be good and whose authority is not known."""
TRUSTING: Final = (
    "pass `tls=` with the authority that signed it, if you trust it, or name its file in the environment variable "
    "SSL_CERT_FILE"
)
"""What to do about the second."""
