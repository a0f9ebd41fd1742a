// Go templates as far as `--format` needs them: text, actions, pipelines, variables, if/with/range/else, comments and trimming.

export type Operand =
  | { type: 'dot' }
  | { type: 'field'; path: string[]; at: string }
  | { type: 'variable'; name: string; path: string[]; at: string }
  | { type: 'literal'; value: string | number | boolean | null }
  | { type: 'call'; name: string }
  | { type: 'pipe'; pipe: Pipe; path: string[]; at: string }

export interface Pipe {
  declare: string[]
  /** `=` to a variable that exists, instead of `:=`. */
  assign: boolean
  commands: Operand[][]
}

export type Node =
  | { type: 'text'; text: string }
  | { type: 'action'; pipe: Pipe }
  | { type: 'if' | 'with' | 'range'; pipe: Pipe; body: Node[]; otherwise: Node[] }
  | { type: 'break' | 'continue' }

export class TemplateError extends Error {}

/** `at` is `line:column`, as Go's messages say where. */
type Token = { kind: 'word' | 'field' | 'variable' | 'string' | 'number' | 'symbol'; text: string; at: string }

const tokenPattern =
  /\s*(?:("(?:[^"\\\n]|\\.)*")|(`[^`]*`)|('(?:[^'\\]|\\.)')|((?:\.[\p{L}_][\p{L}\p{N}_]*)+|\.(?![\p{L}_]))|(\$[\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*)|([-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?))|([\p{L}_][\p{L}\p{N}_]*)|(:=|[|(),=]))/uy

function tokenize(action: string, where: (offset: number) => string): Token[] {
  const tokens: Token[] = []
  tokenPattern.lastIndex = 0
  while (action.slice(tokenPattern.lastIndex).trim() !== '') {
    const at = tokenPattern.lastIndex
    const match = tokenPattern.exec(action)
    if (!match)
      throw new TemplateError(
        `template: :${where(at).split(':')[0]}: unexpected ${JSON.stringify(action.slice(at).trim().charAt(0))} in operand`,
      )
    const [, quoted, raw, char, field, variable, number, word, symbol] = match
    const position = where(at + (match[0].length - match[0].trimStart().length))
    const push = (kind: Token['kind'], text: string) => tokens.push({ kind, text, at: position })
    if (quoted !== undefined) push('string', unquote(quoted))
    else if (raw !== undefined) push('string', raw.slice(1, -1))
    else if (char !== undefined) push('number', String(unquote(`"${char.slice(1, -1)}"`).codePointAt(0)))
    else if (field !== undefined) push('field', field)
    else if (variable !== undefined) push('variable', variable)
    else if (number !== undefined) push('number', number)
    else if (word !== undefined) push('word', word)
    else push('symbol', symbol as string)
  }
  return tokens
}

function unquote(text: string): string {
  try {
    return JSON.parse(
      text
        .replace(/\\x([0-9a-fA-F]{2})/g, '\\u00$1')
        .replace(/\\([av'])/g, (_, c: string) => ({ a: '\\u0007', v: '\\u000b', "'": "'" })[c] as string),
    ) as string
  } catch {
    throw new TemplateError(`template: :1: malformed string constant: ${text}`)
  }
}

const pathOf = (text: string): string[] => text.split('.').filter((part) => part !== '')

class PipeParser {
  private at = 0
  constructor(
    private readonly tokens: Token[],
    private readonly functions: ReadonlySet<string>,
  ) {}

  whole(): Pipe {
    const pipe = this.pipe()
    const left = this.tokens[this.at]
    if (left) throw new TemplateError(`template: :1: unexpected ${JSON.stringify(left.text)} in command`)
    return pipe
  }

  private pipe(): Pipe {
    const { declare, assign } = this.declarations()
    const commands: Operand[][] = []
    do commands.push(this.command())
    while (this.take('|'))
    return { declare, assign, commands }
  }

  private declarations(): { declare: string[]; assign: boolean } {
    const declare: string[] = []
    const start = this.at
    while (this.tokens[this.at]?.kind === 'variable') {
      declare.push((this.tokens[this.at++] as Token).text)
      if (this.take(':=')) return { declare, assign: false }
      if (this.take('=')) return { declare, assign: true }
      if (!this.take(',')) break
    }
    this.at = start
    return { declare: [], assign: false }
  }

  private command(): Operand[] {
    const operands: Operand[] = []
    for (;;) {
      const token = this.tokens[this.at]
      if (!token || (token.kind === 'symbol' && token.text !== '(')) break
      operands.push(this.operand(token))
    }
    if (operands.length === 0) throw new TemplateError('template: :1: missing value for command')
    return operands
  }

  private operand(token: Token): Operand {
    this.at++
    switch (token.kind) {
      case 'string':
        return { type: 'literal', value: token.text }
      case 'number':
        return { type: 'literal', value: Number(token.text) }
      case 'field':
        return token.text === '.' ? { type: 'dot' } : { type: 'field', path: pathOf(token.text), at: token.at }
      case 'variable': {
        const [name, ...path] = token.text.split('.')
        return { type: 'variable', name: name as string, path, at: token.at }
      }
      case 'word':
        return this.word(token.text)
      default: {
        const pipe = this.pipe()
        if (!this.take(')')) throw new TemplateError('template: :1: unclosed left paren')
        const next = this.tokens[this.at]
        const chained = next?.kind === 'field' && next.text !== '.'
        if (chained) this.at++
        return { type: 'pipe', pipe, path: chained ? pathOf(next.text) : [], at: token.at }
      }
    }
  }

  private word(text: string): Operand {
    if (text === 'true' || text === 'false') return { type: 'literal', value: text === 'true' }
    if (text === 'nil') return { type: 'literal', value: null }
    if (!this.functions.has(text)) throw new TemplateError(`template: :1: function ${JSON.stringify(text)} not defined`)
    return { type: 'call', name: text }
  }

  private take(text: string): boolean {
    const token = this.tokens[this.at]
    if (token?.kind !== 'symbol' || token.text !== text) return false
    this.at++
    return true
  }
}

/** Pieces of the source: texts, and actions without their braces. */
interface Piece {
  text: string
  action: boolean
  at: number
}

function split(source: string): Piece[] {
  const pieces: Piece[] = []
  let at = 0
  let trimNext = false
  while (at < source.length) {
    const open = source.indexOf('{{', at)
    let text = source.slice(at, open < 0 ? undefined : open)
    if (trimNext) text = text.trimStart()
    trimNext = false
    if (open < 0) {
      pieces.push({ text, action: false, at })
      break
    }
    const close = closing(source, open + 2)
    let inside = source.slice(open + 2, close)
    if (/^-\s/.test(inside)) {
      text = text.trimEnd()
      inside = inside.slice(1)
    }
    if (/\s-$/.test(inside)) {
      trimNext = true
      inside = inside.slice(0, -1)
    }
    if (text !== '') pieces.push({ text, action: false, at })
    if (!inside.trim().startsWith('/*')) pieces.push({ text: inside.trim(), action: true, at: source.indexOf(inside.trim(), open + 2) })
    at = close + 2
  }
  return pieces
}

function closing(source: string, from: number): number {
  let quote = ''
  for (let i = from; i < source.length; i++) {
    const c = source.charAt(i)
    if (quote !== '') {
      if (c === '\\' && quote === '"') i++
      else if (c === quote) quote = ''
    } else if (c === '"' || c === '`') quote = c
    else if (c === '}' && source.charAt(i + 1) === '}') return i
  }
  throw new TemplateError('template: :1: unclosed action')
}

export function parseTemplate(source: string, functions: ReadonlySet<string>): Node[] {
  const pieces = split(source)
  let at = 0
  const position = (offset: number): string => {
    const before = source.slice(0, offset).split('\n')
    return `${before.length}:${(before.at(-1) as string).length}`
  }
  const pipeOf = (text: string, from: number): Pipe =>
    new PipeParser(
      tokenize(text, (offset) => position(from + offset)),
      functions,
    ).whole()

  const list = (nested: boolean): { nodes: Node[]; end: string; at: number } => {
    const nodes: Node[] = []
    while (at < pieces.length) {
      const piece = pieces[at++] as Piece
      if (!piece.action) {
        nodes.push({ type: 'text', text: piece.text })
        continue
      }
      const [, keyword = '', rest = ''] = /^(\w*)\s*([^]*)$/.exec(piece.text) ?? []
      if (keyword === 'end' || keyword === 'else') {
        if (!nested) throw new TemplateError(`template: :1: unexpected {{${keyword}}}`)
        return { nodes, end: keyword === 'else' ? `else ${rest}`.trim() : 'end', at: piece.at }
      }
      if (keyword === 'if' || keyword === 'with' || keyword === 'range')
        nodes.push(block(keyword, rest, piece.at + piece.text.length - rest.length))
      else if (keyword === 'break' || keyword === 'continue') nodes.push({ type: keyword })
      else nodes.push({ type: 'action', pipe: pipeOf(piece.text, piece.at) })
    }
    if (nested) throw new TemplateError('template: :1: unexpected EOF')
    return { nodes, end: '', at: 0 }
  }

  const block = (type: 'if' | 'with' | 'range', condition: string, from: number): Node => {
    const pipe = pipeOf(condition, from)
    const body = list(true)
    if (body.end === 'end') return { type, pipe, body: body.nodes, otherwise: [] }
    const chained = /^else (if|with)\s+([^]*)$/.exec(body.end)
    if (chained) return { type, pipe, body: body.nodes, otherwise: [block(chained[1] as 'if' | 'with', chained[2] as string, body.at)] }
    const otherwise = list(true)
    return { type, pipe, body: body.nodes, otherwise: otherwise.nodes }
  }
  return list(false).nodes
}
