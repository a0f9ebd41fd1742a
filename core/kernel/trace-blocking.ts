import { createHook, executionAsyncResource } from 'node:async_hooks'
import { closeSync, openSync, readSync } from 'node:fs'
import { type Profiler, Session } from 'node:inspector'
import { PerformanceObserver } from 'node:perf_hooks'

/** One uninterrupted stretch of JavaScript on the main thread. */
export interface BlockingSection {
  /** Without garbage collection and without waiting for a CPU. */
  milliseconds: number
  gcMilliseconds: number
  /** Ready to run, but others had the CPUs. 0 where the kernel does not tell. */
  waitedMilliseconds: number
  /** What was called back: `FSReqCallback`, `Timeout`, `Promise` ... */
  resource: string
  /** Our function that most of it was spent under, with file and line, and what it called. */
  name: string
}

export interface BlockingTrace {
  stop(): Promise<void>
}

export interface BlockingTraceOptions {
  /** Milliseconds from which a section is reported. */
  threshold?: number
  report(section: BlockingSection): void
  /** Microseconds between samples. */
  interval?: number
}

interface Section {
  start: number
  end: number
  waited: number
  resource: string
}

const analyseMilliseconds = 500

/** Microseconds of the clock that V8 stamps its samples with. */
const clock = (): number => Number(process.hrtime.bigint() / 1000n)

/** How long the main thread has been ready to run without a CPU, in microseconds: the second number of Linux's schedstat. */
function openWaited(): { read: () => number; close: () => void } {
  const buffer = Buffer.alloc(64)
  let fd: number
  try {
    fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  } catch {
    return { read: () => 0, close: () => undefined }
  }
  const read = (): number => {
    const text = buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0))
    return Number(text.split(' ')[1]) / 1000
  }
  return { read, close: () => closeSync(fd) }
}

/**
 * Watches every callback of the loop by async hooks, and names the long ones by the samples that V8's profiler took meanwhile. Costs nothing
 * unless started; started, it costs a few percent, and its own analysis is left out.
 */
export function traceBlocking(options: BlockingTraceOptions): BlockingTrace {
  const threshold = (options.threshold ?? 1) * 1000
  let sections: Section[] = []
  let collections: { start: number; end: number }[] = []
  let depth = 0
  let start = 0
  let resource = ''
  let ours = false
  const waited = openWaited()
  let waitedBefore = 0

  const hook = createHook({
    before() {
      if (depth++ > 0) return
      resource = (executionAsyncResource() as { constructor?: { name?: string } }).constructor?.name ?? 'unknown'
      ours = false
      waitedBefore = waited.read()
      start = clock()
    },
    after() {
      if (depth > 0) depth--
      if (depth > 0 || ours) return
      const end = clock()
      if (end - start >= threshold) sections.push({ start, end, resource, waited: waited.read() - waitedBefore })
    },
  })
  const origin = performance.timeOrigin * 1000 - (performance.timeOrigin + performance.now()) * 1000 + clock()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const at = origin + entry.startTime * 1000
      collections.push({ start: at, end: at + entry.duration * 1000 })
    }
  })
  observer.observe({ entryTypes: ['gc'] })

  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: options.interval ?? 200 })
  session.post('Profiler.start')

  const analyse = (): void => {
    ours = true
    const found = sections
    const pauses = collections
    sections = []
    collections = []
    session.post('Profiler.stop', (error, result) => {
      if (error !== null || found.length === 0) return
      const samples = readSamples(result.profile)
      for (const section of found) {
        const gc = pauses.reduce(
          (sum, pause) => sum + Math.max(0, Math.min(pause.end, section.end) - Math.max(pause.start, section.start)),
          0,
        )
        // The wait may have fallen into the collection: better a section too many than one too few.
        const busy = section.end - section.start - Math.max(gc, section.waited)
        if (busy < threshold) continue
        options.report({
          milliseconds: busy / 1000,
          gcMilliseconds: gc / 1000,
          waitedMilliseconds: section.waited / 1000,
          resource: section.resource,
          name: nameOf(samples, section),
        })
      }
    })
  }

  const timer = setInterval(() => {
    analyse()
    session.post('Profiler.start')
  }, analyseMilliseconds)
  timer.unref()
  hook.enable()

  return {
    stop: async () => {
      // What is still running is reported too, and GC entries come a turn later.
      await new Promise((resolve) => setTimeout(resolve, 20))
      hook.disable()
      clearInterval(timer)
      analyse()
      session.disconnect()
      observer.disconnect()
      waited.close()
    },
  }
}

interface Samples {
  times: number[]
  names: string[]
}

function readSamples(profile: Profiler.Profile): Samples {
  const parents = new Map<number, Profiler.ProfileNode>()
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node)
  const names = new Map<number, string>()
  const nameOfNode = (id: number): string => {
    let name = names.get(id)
    if (name === undefined) names.set(id, (name = describe(nodes.get(id), parents)))
    return name
  }
  const samples: Samples = { times: [], names: [] }
  let time = profile.startTime
  for (const [index, id] of (profile.samples ?? []).entries()) {
    time += profile.timeDeltas?.[index] ?? 0
    samples.times.push(time)
    samples.names.push(nameOfNode(id))
  }
  return samples
}

/** The nearest of our functions on the stack, and the innermost one when that is another. */
function describe(leaf: Profiler.ProfileNode | undefined, parents: Map<number, Profiler.ProfileNode>): string {
  if (leaf === undefined) return ''
  const inner = leaf.callFrame.functionName
  if (inner === '(garbage collector)' || inner === '(idle)') return ''
  for (let node: Profiler.ProfileNode | undefined = leaf; node !== undefined; node = parents.get(node.id)) {
    const { functionName, url, lineNumber } = node.callFrame
    if (!url.startsWith('file:') || url.includes('/node_modules/')) continue
    const place = `${functionName === '' ? '(anonymous)' : functionName} (${url.replace(/^.*\/dist\//, '')}:${lineNumber + 1})`
    return node === leaf ? place : `${place} > ${inner}`
  }
  return inner
}

function nameOf(samples: Samples, { start, end }: Section): string {
  const counts = new Map<string, number>()
  for (const [index, time] of samples.times.entries()) {
    const name = samples.names[index] as string
    if (time >= start && time <= end && name !== '') counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const [top] = [...counts].sort((a, b) => b[1] - a[1])
  return top?.[0] ?? 'unknown (no sample fell into it)'
}
