// Fingerprints of engines whose device may hide what it is, such as a GPU in a browser. Such a fingerprint lists the fields of
// the device that are known, and ends with the hash of a probe: what the engine computed for a fixed slice of the run's
// network. For example: `webgpu/1-0123456789abcdef; vendor=intel; architecture=xe; probe=fedcba9876543210`. Pure.

/** Fields of a device in a fingerprint. Browsers hide some of them. */
export const deviceFields = ['vendor', 'architecture', 'device', 'description'] as const;
export type DeviceFields = Partial<Record<(typeof deviceFields)[number], string>>;

const separator = '; ';
const probeField = 'probe';
/** Number of hexadecimal digits of a probe's SHA-256 in a fingerprint. */
const probeDigits = 16;

/**
 * Returns a fingerprint without a probe.
 * @param version name and version of the engine
 * @param fields the known fields of the device; a field that the platform hides is missing
 */
export function fingerprintOfDevice(version: string, fields: DeviceFields): string {
  const known = deviceFields.flatMap((name) => {
    const value = fields[name];
    return value === undefined ? [] : [`${name}=${value.replaceAll(';', ',').slice(0, 200)}`];
  });
  return [version, ...known].join(separator);
}

/** @param sha256 hash of what the engine computed for the probe */
export function withProbe(fingerprint: string, sha256: string): string {
  return [fingerprint, `${probeField}=${sha256.slice(0, probeDigits)}`].join(separator);
}

/** Whether a fingerprint ends with the hash of a probe. */
export function isProbed(fingerprint: string): boolean {
  return parse(fingerprint).fields.has(probeField);
}

/** Whether a fingerprint has a probe, and lacks a field of its device. Two such devices may differ although they are equal here. */
export function hidesDevice(fingerprint: string): boolean {
  return hiddenFieldsOf(fingerprint) > 0;
}

/** Returns the number of fields that a probed fingerprint lacks; 0 for any other. */
export function hiddenFieldsOf(fingerprint: string): number {
  const { fields } = parse(fingerprint);
  return fields.has(probeField) ? deviceFields.filter((name) => !fields.has(name)).length : 0;
}

/**
 * Compares fingerprints. `exact`: equal, so that the engines compute the same bits. `as-probed`: the probes are equal, and no
 * field that both have differs, but one of the devices hides what it is. `different`: the engines may compute other bits.
 */
export function compareFingerprints(one: string, other: string): 'exact' | 'as-probed' | 'different' {
  if (one === other && !hidesDevice(one)) return 'exact';
  const [a, b] = [parse(one), parse(other)];
  if (!a.fields.has(probeField) || !b.fields.has(probeField) || a.version !== b.version) return 'different';
  const differs = [...a.fields].some(([name, value]) => b.fields.has(name) && b.fields.get(name) !== value);
  return differs ? 'different' : 'as-probed';
}

/** Whether engines with these fingerprints compute the same bits, as far as is known. */
export function fingerprintsMatch(one: string, other: string): boolean {
  return compareFingerprints(one, other) !== 'different';
}

function parse(fingerprint: string): { version: string; fields: Map<string, string> } {
  const [version, ...rest] = fingerprint.split(separator);
  const fields = rest.map((field): [string, string] => {
    const at = field.indexOf('=');
    return at === -1 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
  });
  return { version, fields: new Map(fields) };
}
