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

/** Renames a file that no tab is writing to. Copies it where the browser cannot do that, as in Chrome for Android. */
export async function moveFile(folder: FileSystemDirectoryHandle, from: string, to: string): Promise<void> {
  const handle = await folder.getFileHandle(from);
  try {
    if (handle.move !== undefined) return await handle.move(to);
  } catch (error) {
    if (!isDomException(error, 'NotAllowedError')) throw error;
  }
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

/** Throws if the storage is full. Then Firefox writes a part; Chromium returns a negative number as a uint32. */
export function writeFully(access: FileSystemSyncAccessHandle, bytes: Uint8Array, position: number): void {
  if (access.write(bytes, { at: position }) !== bytes.length) throw fullStorage();
}

/** Sets the size of a file. Throws if the storage is full, which Chromium does not. */
export function resize(access: FileSystemSyncAccessHandle, bytes: number): void {
  access.truncate(bytes);
  if (access.getSize() !== bytes) throw fullStorage();
}

function fullStorage(): DOMException {
  return new DOMException('The storage has no room for the file.', 'QuotaExceededError');
}

/** Returns whether a thrown value is a DOMException with this name, which says what went wrong. */
function isDomException(thrown: unknown, name: string): boolean {
  return thrown instanceof DOMException && thrown.name === name;
}
