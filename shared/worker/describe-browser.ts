// Names the browser and its operating system, for display. Pure.

/** Names in user-agent strings, before the names of the browsers that these claim to be. */
const browsers: readonly (readonly [token: string, name: string])[] = [
  ['Edg', 'Edge'],
  ['OPR', 'Opera'],
  ['SamsungBrowser', 'Samsung Internet'],
  ['Firefox', 'Firefox'],
  ['FxiOS', 'Firefox'],
  ['CriOS', 'Chrome'],
  ['HeadlessChrome', 'Chrome'],
  ['Chrome', 'Chrome'],
  ['Version', 'Safari'],
];
const systems: readonly (readonly [token: RegExp, name: string])[] = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'macOS'],
  [/CrOS/, 'ChromeOS'],
  [/Linux/, 'Linux'],
];

/** Returns for example `Firefox 153 on Linux`. */
export function describeBrowser(userAgent: string): string {
  const found = browsers.flatMap(([token, name]) => {
    const version = new RegExp(`\\b${token}/(\\d+)`).exec(userAgent)?.[1];
    return version === undefined ? [] : [`${name} ${version}`];
  });
  const system = systems.find(([token]) => token.test(userAgent))?.[1];
  const browser = found.at(0) ?? 'browser';
  return system === undefined ? browser : `${browser} on ${system}`;
}
