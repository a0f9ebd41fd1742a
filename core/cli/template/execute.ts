import { functions, print, truth } from './functions.js'
import type { TemplateFunction } from './functions.js'
import { TemplateError, parseTemplate } from './parse.js'
import type { Node, Operand, Pipe } from './parse.js'

export { TemplateError } from './parse.js'

export interface Template {
  render(data: unknown): string
}

export type MissingField = (name: string) => unknown

/** `override` replaces functions, as the header row of a table needs it; `missing` knows fields that the data leaves out. */
export function compile(
  source: string,
  override: Readonly<Record<string, TemplateFunction>> = {},
  missing: MissingField = () => undefined,
): Template {
  const known = { ...functions, ...override }
  const nodes = parseTemplate(source, new Set(Object.keys(known)))
  return { render: (data) => new Execution(known, data, missing).nodes(nodes, data) }
}

class Break extends Error {}
class Continue extends Error {}

class Execution {
  private readonly scopes: Map<string, unknown>[]

  constructor(
    private readonly functions: Readonly<Record<string, TemplateFunction>>,
    root: unknown,
    private readonly missing: MissingField,
  ) {
    this.scopes = [new Map([['$', root]])]
  }

  nodes(list: readonly Node[], dot: unknown): string {
    let out = ''
    for (const node of list) {
      switch (node.type) {
        case 'text':
          out += node.text
          break
        case 'action': {
          const value = this.pipe(node.pipe, dot)
          if (node.pipe.declare.length === 0) out += print(value)
          break
        }
        case 'break':
          throw new Break(out)
        case 'continue':
          throw new Continue(out)
        default:
          out += this.scoped(() => this.block(node, dot))
      }
    }
    return out
  }

  private block(node: Extract<Node, { body: Node[] }>, dot: unknown): string {
    if (node.type === 'range') return this.range(node, dot)
    const value = this.pipe(node.pipe, dot)
    if (!truth(value)) return this.nodes(node.otherwise, dot)
    return this.nodes(node.body, node.type === 'with' ? value : dot)
  }

  private range(node: Extract<Node, { body: Node[] }>, dot: unknown): string {
    const { declare, ...rest } = node.pipe
    const value = this.pipe({ ...rest, declare: [] }, dot)
    const pairs = entriesOf(value)
    if (pairs.length === 0) return this.nodes(node.otherwise, dot)
    let out = ''
    for (const [key, item] of pairs) {
      try {
        out += this.scoped(() => {
          if (declare.length === 1) this.set(declare[0] as string, item)
          else if (declare.length === 2) {
            this.set(declare[0] as string, key)
            this.set(declare[1] as string, item)
          }
          return this.nodes(node.body, item)
        })
      } catch (error) {
        if (!(error instanceof Break) && !(error instanceof Continue)) throw error
        out += error.message
        if (error instanceof Break) break
      }
    }
    return out
  }

  private scoped(run: () => string): string {
    this.scopes.push(new Map())
    try {
      return run()
    } finally {
      this.scopes.pop()
    }
  }

  private set(name: string, value: unknown): void {
    this.scopes.at(-1)?.set(name, value)
  }

  private pipe(pipe: Pipe, dot: unknown): unknown {
    let value: unknown
    pipe.commands.forEach((command, i) => {
      value = this.command(command, dot, i === 0 ? [] : [value])
    })
    const name = pipe.declare[0]
    if (name === undefined) return value
    const owner = pipe.assign ? this.scopes.findLast((s) => s.has(name)) : this.scopes.at(-1)
    if (!owner) throw new TemplateError(`undefined variable ${JSON.stringify(name)}`)
    owner.set(name, value)
    return value
  }

  private command(command: readonly Operand[], dot: unknown, piped: unknown[]): unknown {
    const [first, ...rest] = command as [Operand, ...Operand[]]
    if (first.type === 'call') return this.call(first.name, rest, dot, piped)
    const args = () => [...rest.map((operand) => this.operand(operand, dot)), ...piped]
    if (first.type === 'field' && (rest.length > 0 || piped.length > 0)) {
      const owner = this.walk(dot, first.path.slice(0, -1), first.path, first.at)
      const method = (owner as Record<string, unknown> | undefined)?.[first.path.at(-1) as string]
      if (typeof method === 'function') return (method as TemplateFunction).apply(owner, args())
    }
    if (rest.length > 0 || piped.length > 0) throw new TemplateError("can't give argument to non-function")
    return this.operand(first, dot)
  }

  private call(name: string, operands: readonly Operand[], dot: unknown, piped: unknown[]): unknown {
    if (name === 'and' || name === 'or') {
      let value: unknown
      for (const operand of operands) {
        value = this.operand(operand, dot)
        if (truth(value) === (name === 'or')) return value
      }
      return piped.length > 0 ? piped[0] : value
    }
    const run = this.functions[name] as TemplateFunction
    return run(...operands.map((operand) => this.operand(operand, dot)), ...piped)
  }

  private operand(operand: Operand, dot: unknown): unknown {
    switch (operand.type) {
      case 'dot':
        return dot
      case 'literal':
        return operand.value
      case 'field':
        return this.walk(dot, operand.path, operand.path, operand.at)
      case 'variable': {
        const scope = this.scopes.findLast((s) => s.has(operand.name))
        if (!scope) throw new TemplateError(`undefined variable ${JSON.stringify(operand.name)}`)
        return this.walk(scope.get(operand.name), operand.path, operand.path, operand.at)
      }
      case 'pipe':
        return this.walk(this.pipe(operand.pipe, dot), operand.path, operand.path, operand.at)
      case 'call':
        return this.call(operand.name, [], dot, [])
    }
  }

  private walk(from: unknown, path: readonly string[], whole: readonly string[], where: string): unknown {
    let at = from
    for (const key of path) {
      const place = `template: :${where}: executing "" at <.${whole.join('.')}>`
      if (at === null || at === undefined) throw new TemplateError(`${place}: nil pointer evaluating interface {}.${key}`)
      if (typeof at !== 'object' || Array.isArray(at))
        throw new TemplateError(`${place}: can't evaluate field ${key} in type ${Array.isArray(at) ? '[]interface {}' : typeof at}`)
      if (!Object.hasOwn(at, key)) {
        const zero = this.missing(key)
        if (zero !== undefined) {
          at = zero
          continue
        }
        throw new TemplateError(`${place}: map has no entry for key ${JSON.stringify(key)}`)
      }
      at = (at as Record<string, unknown>)[key]
    }
    return typeof at === 'function' ? (at as () => unknown).call(from) : at
  }
}

function entriesOf(value: unknown): [unknown, unknown][] {
  if (Array.isArray(value)) return value.map((item, i) => [i, item])
  if (typeof value === 'number') return Array.from({ length: value }, (_, i) => [i, i])
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .filter(([, item]) => typeof item !== 'function')
  }
  if (value === null || value === undefined) return []
  throw new TemplateError(`range can't iterate over ${print(value)}`)
}
