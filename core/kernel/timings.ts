import { performance } from 'node:perf_hooks'

interface Node {
  name: string
  start: number
  end: number | undefined
  children: Node[]
}

/** A tree of what the boot spent its time on. Spans of one parent may overlap. */
export class Timings {
  private readonly node: Node

  constructor(name: string, start = performance.now()) {
    this.node = { name, start, end: undefined, children: [] }
  }

  /** Times `work` as a child; it gets the child to nest further ones. */
  async span<T>(name: string, work: (timings: Timings) => Promise<T> | T): Promise<T> {
    const child = new Timings(name)
    this.node.children.push(child.node)
    try {
      return await work(child)
    } finally {
      child.finish()
    }
  }

  /** All that has passed since the start, which nobody could time. */
  past(name: string): void {
    const child = new Timings(name, this.node.start)
    child.finish()
    this.node.children.push(child.node)
  }

  finish(): void {
    this.node.end ??= performance.now()
  }

  get milliseconds(): number {
    return (this.node.end ?? performance.now()) - this.node.start
  }

  /** One line per span: duration, offset from the root's start, name. */
  format(): string {
    const lines: string[] = []
    const walk = (node: Node, indent: string): void => {
      const end = node.end ?? performance.now()
      const open = node.end === undefined ? ' (unfinished)' : ''
      lines.push(
        `${(end - node.start).toFixed(1).padStart(9)} ms  +${(node.start - this.node.start).toFixed(1).padStart(8)}  ${indent}${node.name}${open}`,
      )
      for (const child of node.children) walk(child, `${indent}  `)
    }
    walk(this.node, '')
    return lines.join('\n')
  }

  toJSON(): unknown {
    const plain = (node: Node): unknown => ({
      name: node.name,
      start: node.start - this.node.start,
      milliseconds: (node.end ?? performance.now()) - node.start,
      children: node.children.map(plain),
    })
    return plain(this.node)
  }
}
