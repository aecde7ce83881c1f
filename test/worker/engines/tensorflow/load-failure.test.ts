import { describe, expect, it } from 'vitest';
import {
  diagnoseLoadFailure,
  notInstalled,
  withoutBinding,
  type LoadFailure,
} from '../../../../worker/engines/tensorflow/load-failure.js';

function diagnose(reason: string, change: Partial<LoadFailure> = {}): string {
  const { problem, remedy } = diagnoseLoadFailure({ reason, flavor: 'cpu', isOwnInstallation: true, ...change });
  return `${problem} -> ${remedy}`;
}
const byNpm = { flavor: 'gpu', isOwnInstallation: false } as const;
const cannotOpen = 'cannot open shared object file: No such file or directory';

describe('diagnoseLoadFailure', () => {
  it('recognizes a missing package and a missing binding', () => {
    expect(diagnose(notInstalled, byNpm)).toBe('not installed -> lockstep setup-tensorflow --gpu');
    expect(diagnose(withoutBinding, byNpm)).toMatch(
      /native binding was never built .* -> lockstep setup-tensorflow --gpu$/,
    );
  });

  it('recognizes missing libraries of CUDA, the driver, TensorFlow and the system', () => {
    expect(diagnose(`libcudart.so.11.0: ${cannotOpen}`, byNpm)).toMatch(
      /^libcudart\.so\.11\.0 is missing, which is part of the CUDA .* -> lockstep setup-tensorflow --gpu \(includes CUDA 12/,
    );
    expect(diagnose(`libcudnn.so.8: ${cannotOpen}`, byNpm)).toMatch(
      /^libcudnn\.so\.8 is missing, which is part of the CUDA/,
    );
    expect(diagnose(`libcuda.so.1: ${cannotOpen}`, byNpm)).toMatch(
      /which is part of NVIDIA's driver -> install the driver/,
    );
    expect(diagnose(`libtensorflow_cc.so.2: ${cannotOpen}`)).toBe(
      'libtensorflow_cc.so.2 is missing, which is TensorFlow itself -> lockstep setup-tensorflow --cpu --force',
    );
    expect(diagnose(`libgomp.so.1: ${cannotOpen}`)).toMatch(/^libgomp\.so\.1 is missing on this system/);
  });

  it.each([
    [
      "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found (required by …)",
      /C library is older .*GLIBC_2\.99/,
    ],
    ["libstdc++.so.6: version `GLIBCXX_3.4.30' not found", /libstdc\+\+ is older .*GLIBCXX_3\.4\.30/],
    ['/x/tfjs_binding.node: file too short', /damaged/],
    ['/x/tfjs_binding.node: invalid ELF header', /damaged/],
    ['/x/tfjs_binding.node: wrong ELF class: ELFCLASS32', /another processor architecture/],
    ['/x/tfjs_binding.node: undefined symbol: TF_NewSession', /another version of TensorFlow/],
    ['was compiled against a different Node.js version using NODE_MODULE_VERSION 93', /another version of Node than v/],
    ['EACCES: permission denied', /no permission to read/],
    ['something new\nRequire stack:', /^something new -> .*report this message$/],
  ])('recognizes %j', (reason, expected) => {
    expect(diagnose(reason)).toMatch(expected);
  });
});
