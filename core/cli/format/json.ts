/** Re-indents JSON text without parsing it, so that numbers and key order stay as the engine sent them. */
export function indentJson(text: string, indent = '    '): string {
  let out = ''
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i)
    if (inString) {
      out += c
      if (c === '\\') out += text.charAt(++i)
      else if (c === '"') inString = false
      continue
    }
    if (/\s/.test(c)) continue
    if (c === '"') inString = true
    if (c === '{' || c === '[') {
      const rest = /^\s*[}\]]/.exec(text.slice(i + 1, i + 64))
      if (rest) {
        out += c + rest[0].trim()
        i += rest[0].length
      } else out += c + '\n' + indent.repeat(++depth)
    } else if (c === '}' || c === ']') out += '\n' + indent.repeat(--depth) + c
    else if (c === ',') out += ',\n' + indent.repeat(depth)
    else if (c === ':') out += ': '
    else out += c
  }
  return out
}
