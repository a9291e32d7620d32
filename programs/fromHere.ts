import { isAbsolute, relative, sep } from "node:path"

/** A path as one would type it: relative where it lies below the current directory. */
export const fromHere = (file: string): string => {
  const path = relative("", file)
  return isAbsolute(path) || path === "" || path.split(sep)[0] === ".." ? file : path
}
