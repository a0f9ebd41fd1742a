// Zstandard decompression by the system's libzstd, which is loaded on first use. Node 20 has none of its own.
import koffi from 'koffi'

/** libzstd cannot be loaded. */
export class NoZstd extends Error {}
/** The data is no sound Zstandard stream. */
export class ZstdDataError extends Error {}

/** Content needs at most 128 MiB of memory to be unpacked: what the zstd program takes unless it is told otherwise. */
const windowLogMax = 27
const ZSTD_d_windowLogMax = 100

interface Out {
  dst: Buffer
  size: number
  pos: number
}

interface In {
  src: Uint8Array
  size: number
  pos: number
}

interface Library {
  create(): unknown
  free(context: unknown): void
  set(context: unknown, parameter: number, value: number): number | bigint
  decompress(context: unknown, out: Out, input: In): number | bigint
  isError(code: number | bigint): number
  errorName(code: number | bigint): string
}

let library: Library | undefined

function load(): Library {
  if (library !== undefined) return library
  let lib: ReturnType<typeof koffi.load>
  try {
    lib = koffi.load('libzstd.so.1')
  } catch (error) {
    throw new NoZstd(error instanceof Error ? error.message : String(error), { cause: error })
  }
  koffi.struct('tsd_ZSTD_out', { dst: 'void *', size: 'size_t', pos: 'size_t' })
  koffi.struct('tsd_ZSTD_in', { src: 'void *', size: 'size_t', pos: 'size_t' })
  library = {
    create: lib.func('void *ZSTD_createDCtx()') as Library['create'],
    free: lib.func('size_t ZSTD_freeDCtx(void *context)') as Library['free'],
    set: lib.func('size_t ZSTD_DCtx_setParameter(void *context, int parameter, int value)') as Library['set'],
    decompress: lib.func(
      'size_t ZSTD_decompressStream(void *context, _Inout_ tsd_ZSTD_out *out, _Inout_ tsd_ZSTD_in *input)',
    ) as Library['decompress'],
    isError: lib.func('unsigned int ZSTD_isError(size_t code)') as Library['isError'],
    errorName: lib.func('const char *ZSTD_getErrorName(size_t code)') as Library['errorName'],
  }
  return library
}

/** One stream, in steps of bounded output. To be closed. */
export class ZstdDecompressor {
  private readonly lib = load()
  private readonly context = this.lib.create()
  private readonly buffer = Buffer.alloc(1 << 16)
  /** What the last step said it still needs: 0 at the end of a frame. */
  private wanted: number | bigint = 0
  private closed = false

  constructor() {
    this.lib.set(this.context, ZSTD_d_windowLogMax, windowLogMax)
  }

  /** Takes some of the input; answers how much, and what came of it. Nothing of either: more input is needed. */
  step(input: Uint8Array): { taken: number; output: Buffer } {
    const out: Out = { dst: this.buffer, size: this.buffer.length, pos: 0 }
    const from: In = { src: input, size: input.length, pos: 0 }
    const code = this.lib.decompress(this.context, out, from)
    if (this.lib.isError(code) !== 0) throw new ZstdDataError(this.lib.errorName(code))
    this.wanted = code
    return { taken: from.pos, output: Buffer.from(this.buffer.subarray(0, out.pos)) }
  }

  /** The input may end here. */
  get complete(): boolean {
    return Number(this.wanted) === 0
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.lib.free(this.context)
  }
}
