import type { Values } from '../flags.js'
import { flag } from '../flags.js'

export const formatFlag = flag(
  'string',
  'format',
  "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template",
)

export const inspectFormatFlag = flag(
  'string',
  'f,format',
  "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template",
)

export const formatOf = (values: Values): string => values.string('format').trim()
