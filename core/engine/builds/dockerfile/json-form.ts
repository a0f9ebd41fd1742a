/** An array of strings, or undefined when the text is none. */
export function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? (value as string[]) : undefined
  } catch {
    return undefined
  }
}
