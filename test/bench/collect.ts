// Preloaded into the measured daemon (`--expose-gc --import`): collects on SIGUSR2 and says so in the file that the bench names.
import fs from 'node:fs'

process.on('SIGUSR2', () => {
  for (let round = 0; round < 3; round++) globalThis.gc?.()
  const file = process.env.TSD_BENCH_COLLECTED
  if (file === undefined) return
  fs.writeFileSync(`${file}.new`, JSON.stringify(process.memoryUsage()))
  fs.renameSync(`${file}.new`, file)
})
