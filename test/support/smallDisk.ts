/** A disk of a few MB, to be filled. */
import { execFileSync } from "node:child_process"
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

const mount = (directory: string, megabytes: number) =>
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", directory], { stdio: "ignore" })
const unmount = (directory: string) => execFileSync("umount", ["--lazy", directory])

/** Mounted on `directory` for the life of the scope. */
export const smallDisk = (directory: string, megabytes = 8) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      mount(directory, megabytes)
      return directory
    }),
    () => Effect.sync(() => unmount(directory))
  )

/** Takes every byte of the disk that `file` is to lie on. */
export const fillDisk = (file: string): void => {
  const descriptor = openSync(file, "w")
  for (let bytes = 2 ** 20; bytes > 0; ) {
    try {
      if (writeSync(descriptor, Buffer.alloc(bytes)) < bytes) bytes >>= 1
    } catch {
      bytes >>= 1
    }
  }
  closeSync(descriptor)
}

/** Mounting needs privileges; says so where there are none. */
export const canMount = (() => {
  const directory = mkdtempSync(join(tmpdir(), "telemetry-mount-"))
  try {
    mount(directory, 1)
    unmount(directory)
    return true
  } catch {
    process.stdout.write("a full disk: not tested, because mounting a small one needs privileges\n")
    return false
  } finally {
    rmdirSync(directory)
  }
})()
