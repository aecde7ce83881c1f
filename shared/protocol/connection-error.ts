// What a connection's error means to the person who asked for it, and whether knocking again could help. Pure.

/** What Node and OpenSSL tell. */
interface ConnectionError extends Error {
  code?: string;
  /** The other side's, where that is what is wrong. */
  cert?: { subjectaltname?: string };
}

/** @param url where the connection was to lead */
export function explainConnectionError(error: ConnectionError, url: string): { reason: string; isFinal: boolean } {
  if (error.message === 'socket hang up' && /^(ws|http):/.test(url)) {
    const reason = `it hung up; if it speaks TLS, use ${overTls(url)}`;
    return { reason, isFinal: false };
  }
  const explanation = explain(error, url);
  if (explanation === undefined) return { reason: error.message, isFinal: false };
  return { reason: `${explanation} (${error.code ?? error.message})`, isFinal: true };
}

function explain({ code = '', message, cert }: ConnectionError, url: string): string | undefined {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return "the coordinator's certificate has expired: renew it there (--tls-cert), and compare the clocks";
    case 'CERT_NOT_YET_VALID':
      return "the coordinator's certificate is not valid yet: compare the clocks, or renew it there (--tls-cert)";
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return (
        `the coordinator's certificate is not for ${new URL(url).hostname} but for ${cert?.subjectaltname ?? 'nobody'}: ` +
        'use a name that it holds, or make one that holds this name'
      );
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_UNTRUSTED':
    case 'INVALID_CA':
    case 'CERT_SIGNATURE_FAILURE':
      return "the coordinator's certificate is of an authority that is not known here: give it with --tls-ca";
    case 'INVALID_PURPOSE':
      return "the coordinator's certificate is not meant for servers: make one with the extended key usage serverAuth";
    default:
  }
  // Whoever does not speak TLS answers a TLS greeting with text, and the other way round.
  if (/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code) || /wrong version number/.test(message)) {
    return `what listens there does not speak TLS: use ${url.replace(/^(ws|http)s:/, '$1:')}, or start it with --tls-cert`;
  }
  if (code.startsWith('HPE_')) {
    return `what listens there does not speak HTTP; if it speaks TLS, use ${overTls(url)}`;
  }
  return undefined;
}

function overTls(url: string): string {
  return url.replace(/^(ws|http):/, '$1s:');
}
