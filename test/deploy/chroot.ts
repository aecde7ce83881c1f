// Runs commands in a chroot, isolated as in a container: their mounts and processes are private, and are removed when
// the command ends.
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** Bind mount of a host folder or file in a root. */
export interface Mount {
  from: string;
  to: string;
  readOnly?: boolean;
}

/**
 * Shell script that enters the root. Arguments: the root; `ro` or `rw` for the root; mounts as `FROM:TO:ro` or
 * `FROM:TO:rw`; `--`; the command.
 */
const enter = `set -e
root=$1 mode=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -o bind,ro /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
while [ "$1" != -- ]; do
  from=\${1%%:*} rest=\${1#*:}
  to=$root\${rest%:*} how=\${rest##*:}
  if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "\${to%/*}"; [ -e "$to" ] || : >"$to"; fi
  mount -o "bind,$how" "$from" "$to"
  shift
done
shift
[ "$mode" = rw ] || mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"`;

/**
 * Returns the words that run a command as process 1 in the root. The command has private mounts and processes, but uses
 * the network of the caller.
 */
export function inRoot(
  root: string,
  command: readonly string[],
  mounts: readonly Mount[],
  isReadOnly = false,
): string[] {
  const lines = mounts.map(({ from, to, readOnly = false }) => `${from}:${to}:${readOnly ? 'ro' : 'rw'}`);
  // The kernel kills the process as soon as its parent ends for any reason.
  const alone = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
  return [...alone, 'sh', '-c', enter, 'sh', root, isReadOnly ? 'ro' : 'rw', ...lines, '--', ...command];
}

export interface Identity {
  /** User ID, or user name from /etc/passwd in the root. */
  user: string;
  environment: Record<string, string>;
  folder: string;
  /** True to drop all capabilities and prevent regaining any, as with `cap_drop: [ALL]` and `no-new-privileges`. */
  isConfined?: boolean;
}

/** Returns the words to put before a command in the root to set its user, environment and working directory. */
export async function withIdentity(root: string, identity: Identity): Promise<string[]> {
  const { user, environment, folder, isConfined = false } = identity;
  const passwd = await readFile(path.join(root, 'etc/passwd'), 'utf8');
  const entry = passwd.split('\n').map((line) => line.split(':'));
  const found = entry.find(([name, , uid]) => name === user || uid === user);
  const [, , uid, gid, , home] = found ?? [user, '', user, '0', '', '/'];
  const assignments = Object.entries({ HOME: home, ...environment }).map(([name, value]) => `${name}=${value}`);
  const rights = isConfined ? ['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'] : [];
  const begin = ['env', '--ignore-environment', `--chdir=${folder}`, ...assignments];
  return [...begin, 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...rights, '--'];
}
