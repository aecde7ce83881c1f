// Explains why a connection failed, what to do about it, and whether retrying could help. Pure.

/** Fields that Node.js and OpenSSL add to an error. */
interface ConnectionError extends Error {
  code?: string;
  /** The other side's certificate, if it caused the error. */
  cert?: { subjectaltname?: string };
}

/**
 * Returns the reason for a failed connection, with a remedy if one is known. `isFinal` is true if retrying cannot
 * succeed until someone fixes the cause.
 * @param url address of the attempted connection
 */
export function explainConnectionError(error: ConnectionError, url: string): { reason: string; isFinal: boolean } {
  if (error.message === 'socket hang up' && /^(ws|http):/.test(url)) {
    const reason = `the server closed the connection; if it uses TLS, connect to ${overTls(url)}`;
    return { reason, isFinal: false };
  }
  const explanation = explain(error, url);
  if (explanation === undefined) return { reason: error.message, isFinal: false };
  return { reason: `${explanation} (${error.code ?? error.message})`, isFinal: true };
}

function explain({ code = '', message, cert }: ConnectionError, url: string): string | undefined {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return "the coordinator's certificate has expired: renew the coordinator's `tlsCert`, and check the clocks";
    case 'CERT_NOT_YET_VALID':
      return "the coordinator's certificate is not valid yet: check the clocks, or renew the coordinator's `tlsCert`";
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return (
        `the coordinator's certificate is not for ${new URL(url).hostname} but for ${cert?.subjectaltname ?? 'no name'}: ` +
        'connect to a name in the certificate, or issue a certificate for the host name that you use'
      );
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
    case 'CERT_SIGNATURE_FAILURE':
      return "the coordinator's certificate is signed by an unknown CA: give the CA's certificate as `tlsCa`";
    case 'INVALID_PURPOSE':
      return "the coordinator's certificate is not for servers: issue one with the extended key usage serverAuth";
    default:
  }
  // A server without TLS answers a TLS handshake with plain text.
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code) || /wrong version number/.test(message)) {
    const plain = url.replace(/^(ws|http)s:/, '$1:');
    return `the server does not use TLS: connect to ${plain}, or start the coordinator with \`tlsCert\``;
  }
  if (code.startsWith('HPE_')) {
    return `the server does not speak HTTP; if it uses TLS, connect to ${overTls(url)}`;
  }
  return undefined;
}

function overTls(url: string): string {
  return url.replace(/^(ws|http):/, '$1s:');
}
