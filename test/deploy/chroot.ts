// Runs commands in a chroot as a container would: their mounts and processes are private and end with them.
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** A folder or file of this machine that is mounted in a root. */
export interface Mount {
  from: string;
  to: string;
  readOnly?: boolean;
}

/** $1 is the root, $2 `ro` or `rw`; then lines `FROM:TO:ro` or `FROM:TO:rw` up to `--`, then the command. */
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

/** Returns the words that run a command as process 1 in the root. It shares only the network with this machine. */
export function inRoot(
  root: string,
  command: readonly string[],
  mounts: readonly Mount[],
  isReadOnly = false,
): string[] {
  const lines = mounts.map(({ from, to, readOnly = false }) => `${from}:${to}:${readOnly ? 'ro' : 'rw'}`);
  // Killed as soon as its parent is gone, however that ends.
  const alone = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
  return [...alone, 'sh', '-c', enter, 'sh', root, isReadOnly ? 'ro' : 'rw', ...lines, '--', ...command];
}

export interface Identity {
  /** A user id, or a name in the root's /etc/passwd. */
  user: string;
  environment: Record<string, string>;
  folder: string;
  /** No capabilities and no way to gain any, as with `cap_drop: [ALL]` and `no-new-privileges`. */
  isConfined?: boolean;
}

/** Returns the words that precede a command within the root and set its user, environment and working directory. */
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
