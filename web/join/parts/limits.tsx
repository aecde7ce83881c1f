/** Says what this page cannot use, because of how it was served. */
export function Limits() {
  if (crossOriginIsolated) return null;
  return (
    <p class="hint">
      {isSecureContext
        ? 'This page is not cross-origin isolated, so this device computes with one thread.'
        : 'Over plain HTTP, this device computes with one thread and without the shard cache; TLS adds both.'}
    </p>
  );
}
