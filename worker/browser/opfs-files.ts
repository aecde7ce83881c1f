// Operations on files in the origin private file system, which browsers support differently.

declare global {
  interface FileSystemFileHandle {
    /** Missing in TypeScript's types, and in some browsers. */
    move?(name: string): Promise<void>;
  }
}

/** Number of bytes that are in memory while a file is copied. */
const copiedBytes = 4 << 20;

/** Returns a file as it is now, or undefined if it does not exist. */
export async function findFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch (error) {
    if (isDomException(error, 'NotFoundError')) return undefined;
    throw error;
  }
}

/** Deletes a file. Returns false if a tab, maybe this one, is writing to it. */
export async function removeFile(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await folder.removeEntry(name);
  } catch (error) {
    if (isDomException(error, 'NoModificationAllowedError')) return false;
    if (!isDomException(error, 'NotFoundError')) throw error;
  }
  return true;
}

/** Renames a file that no tab is writing to. Where the browser cannot do that, copies it. */
export async function moveFile(folder: FileSystemDirectoryHandle, from: string, to: string): Promise<void> {
  const handle = await folder.getFileHandle(from);
  if (handle.move !== undefined) return handle.move(to);
  await copyFile(await handle.getFile(), folder, to);
  await removeFile(folder, from);
}

async function copyFile(file: File, folder: FileSystemDirectoryHandle, to: string): Promise<void> {
  const access = await (await folder.getFileHandle(to, { create: true })).createSyncAccessHandle();
  try {
    access.truncate(0);
    for (let position = 0; position < file.size; position += copiedBytes) {
      const part = file.slice(position, position + copiedBytes);
      writeFully(access, new Uint8Array(await part.arrayBuffer()), position);
    }
  } finally {
    access.close();
  }
}

export function writeFully(access: FileSystemSyncAccessHandle, bytes: Uint8Array, position: number): void {
  const written = access.write(bytes, { at: position });
  if (written < bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes were written`);
}

/** Returns whether a thrown value is a DOMException with this name, which says what went wrong. */
export function isDomException(thrown: unknown, name: string): boolean {
  return thrown instanceof DOMException && thrown.name === name;
}
