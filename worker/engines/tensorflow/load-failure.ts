// Explains why TensorFlow cannot be loaded and how to fix it, from the loader's error message. Pure.
import type { TensorFlowFlavor } from './install-folder.js';

/** Reasons that load.ts itself reports. Any other reason is an error message from Node or the dynamic linker. */
export const notInstalled = 'not installed';
export const withoutBinding = 'its native binding is missing (the install script of the package failed or was not run)';

export interface LoadDiagnosis {
  problem: string;
  remedy: string;
}

export interface LoadFailure {
  /** Error message from load.ts, Node or the dynamic linker. */
  reason: string;
  flavor: TensorFlowFlavor;
  /** Whether `lockstep setup-tensorflow` created this installation. */
  isOwnInstallation: boolean;
}

const missingLibrary = /(lib[\w+.-]*\.so[\w.]*): cannot open shared object file/;
const cudaLibraries = /^lib(cuda|cudart|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl|cupti|nvrtc|nvJitLink)/;
const driverLibraries = /^lib(cuda|nvidia-ml)\.so/;
const missingVersion = /version `((GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found/;

export function diagnoseLoadFailure({ reason, flavor, isOwnInstallation }: LoadFailure): LoadDiagnosis {
  const setup = `lockstep setup-tensorflow --${flavor}${isOwnInstallation ? ' --force' : ''}`;
  if (reason === notInstalled) return { problem: 'not installed', remedy: `lockstep setup-tensorflow --${flavor}` };
  if (reason === withoutBinding) {
    return { problem: 'the package is installed, but its native binding was never built or downloaded', remedy: setup };
  }
  const library = missingLibrary.exec(reason)?.[1];
  if (library !== undefined) return missing(library, setup);
  const [, version, family] = missingVersion.exec(reason) ?? [];
  if (version !== undefined) {
    const what = family === 'GLIBC' ? "the system's C library" : "the system's libstdc++";
    return {
      problem: `${what} is older than this build requires (${version})`,
      remedy: `${setup} to compile it for this system; otherwise, use a newer system or the wasm engine`,
    };
  }
  if (/invalid ELF header|file too short|file truncated/.test(reason)) {
    return { problem: 'its native binding is damaged or is not a library for this system', remedy: setup };
  }
  if (/wrong ELF class|cannot open shared object file: Exec format|incompatible architecture/.test(reason)) {
    return { problem: 'its native binding was built for another processor architecture', remedy: setup };
  }
  if (/undefined symbol/.test(reason)) {
    return { problem: 'its native binding was built for another version of TensorFlow', remedy: setup };
  }
  if (/NODE_MODULE_VERSION|different Node\.js version|did not self-register/.test(reason)) {
    return {
      problem: `its native binding was built for another version of Node than ${process.version}`,
      remedy: setup,
    };
  }
  if (/Permission denied|EACCES/.test(reason)) {
    return { problem: 'this user has no permission to read its files', remedy: 'chmod -R a+rX on its folder' };
  }
  return { problem: firstLine(reason), remedy: `${setup}; if that does not help, report this message` };
}

function missing(library: string, setup: string): LoadDiagnosis {
  if (driverLibraries.test(library)) {
    return {
      problem: `${library} is missing, which is part of NVIDIA's driver`,
      remedy: 'install the driver (525 or newer); on a machine without a GPU, run lockstep setup-tensorflow --cpu',
    };
  }
  if (cudaLibraries.test(library)) {
    return {
      problem: `${library} is missing, which is part of the CUDA version that this build requires`,
      remedy: `${setup} (includes CUDA 12 and cuDNN 9); on a machine without a GPU, lockstep setup-tensorflow --cpu`,
    };
  }
  if (library.startsWith('libtensorflow')) {
    return { problem: `${library} is missing, which is TensorFlow itself`, remedy: setup };
  }
  return {
    problem: `${library} is missing on this system`,
    remedy: `install the package that provides it, or run ${setup}`,
  };
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}
