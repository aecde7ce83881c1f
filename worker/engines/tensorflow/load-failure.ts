// Why TensorFlow does not load, in words, and the command that mends it: read out of the loader's message. Pure.
import type { TensorFlowFlavor } from './install-folder.js';

/** What the loader of this engine says itself. */
export const notThere = 'not there';
export const withoutBinding = 'its native part is missing (the install script of the package failed or was not run)';

export interface LoadDiagnosis {
  problem: string;
  remedy: string;
}

export interface LoadFailure {
  /** The message of whoever refused: this engine, Node, or the system's loader of libraries. */
  reason: string;
  flavor: TensorFlowFlavor;
  /** Whether `lockstep setup-tensorflow` made it, so that --force has it made again. */
  isOwnInstallation: boolean;
}

const missingLibrary = /(lib[\w+.-]*\.so[\w.]*): cannot open shared object file/;
const cudaLibraries = /^lib(cuda|cudart|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl|cupti|nvrtc|nvJitLink)/;
const driverLibraries = /^lib(cuda|nvidia-ml)\.so/;
const missingVersion = /version `((GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found/;

export function diagnoseLoadFailure({ reason, flavor, isOwnInstallation }: LoadFailure): LoadDiagnosis {
  const setUp = `lockstep setup-tensorflow --${flavor}${isOwnInstallation ? ' --force' : ''}`;
  if (reason === notThere) return { problem: 'not installed', remedy: `lockstep setup-tensorflow --${flavor}` };
  if (reason === withoutBinding) {
    return { problem: 'the package is there, but its native part was never built or downloaded', remedy: setUp };
  }
  const library = missingLibrary.exec(reason)?.[1];
  if (library !== undefined) return missing(library, setUp);
  const [, version, family] = missingVersion.exec(reason) ?? [];
  if (version !== undefined) {
    const what = family === 'GLIBC' ? "the system's C library" : "the system's libstdc++";
    return {
      problem: `${what} is older than this build needs (${version})`,
      remedy: `a newer system, or ${setUp}, which compiles for this one; --engine wasm computes without`,
    };
  }
  if (/invalid ELF header|file too short|file truncated/.test(reason)) {
    return { problem: 'its native part is damaged, or no library of this system', remedy: setUp };
  }
  if (/wrong ELF class|cannot open shared object file: Exec format|incompatible architecture/.test(reason)) {
    return { problem: 'its native part was built for another kind of processor', remedy: setUp };
  }
  if (/undefined symbol/.test(reason)) {
    return { problem: 'its native part was built for another version of TensorFlow', remedy: setUp };
  }
  if (/NODE_MODULE_VERSION|different Node\.js version|did not self-register/.test(reason)) {
    return { problem: `its native part was built for another Node than ${process.version}`, remedy: setUp };
  }
  if (/Permission denied|EACCES/.test(reason)) {
    return { problem: 'its files may not be read by this user', remedy: 'chmod -R a+rX on its folder' };
  }
  return { problem: firstLine(reason), remedy: `${setUp}; if that does not help, please report this message` };
}

function missing(library: string, setUp: string): LoadDiagnosis {
  if (driverLibraries.test(library)) {
    return {
      problem: `${library} is missing, which comes with NVIDIA's driver`,
      remedy: 'install the driver (525 or newer), or on a machine without a GPU: lockstep setup-tensorflow --cpu',
    };
  }
  if (cudaLibraries.test(library)) {
    return {
      problem: `${library} is missing, a library of CUDA that this build was made for`,
      remedy: `${setUp} (brings CUDA 12 and cuDNN 9 with it), or on a machine without a GPU: lockstep setup-tensorflow --cpu`,
    };
  }
  if (library.startsWith('libtensorflow')) {
    return { problem: `${library} is missing, TensorFlow itself`, remedy: setUp };
  }
  return { problem: `${library} is missing on this system`, remedy: `install what provides it, or ${setUp}` };
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0];
}
