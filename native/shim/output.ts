// Records that helper ops append to their output.

export interface StatRecord {
  dev: bigint
  ino: bigint
  mode: number
  nlink: number
  uid: number
  gid: number
  rdev: bigint
  size: bigint
  /** Of 512 bytes. */
  blocks: bigint
  mtimeNs: bigint
}

export interface StatfsRecord {
  type: number
  blockSize: bigint
  blocks: bigint
  free: bigint
  available: bigint
  files: bigint
  filesFree: bigint
  flags: number
}

export const STAT_SIZE = 80
export const STATFS_SIZE = 64

export function decodeStat(output: Uint8Array, offset = 0): StatRecord {
  const view = new DataView(output.buffer, output.byteOffset + offset, STAT_SIZE)
  const at = (index: number) => view.getBigUint64(index * 8, true)
  return {
    dev: at(0),
    ino: at(1),
    mode: Number(at(2)),
    nlink: Number(at(3)),
    uid: Number(at(4)),
    gid: Number(at(5)),
    rdev: at(6),
    size: at(7),
    blocks: at(8),
    mtimeNs: BigInt.asIntN(64, at(9)),
  }
}

export function decodeStatfs(output: Uint8Array, offset = 0): StatfsRecord {
  const view = new DataView(output.buffer, output.byteOffset + offset, STATFS_SIZE)
  const at = (index: number) => view.getBigUint64(index * 8, true)
  return {
    type: Number(at(0)),
    blockSize: at(1),
    blocks: at(2),
    free: at(3),
    available: at(4),
    files: at(5),
    filesFree: at(6),
    flags: Number(at(7)),
  }
}
