import { NativeExec } from '../../drivers/exec/native/driver.js'
import { ExecMachine, type ContainerOptions } from '../fixtures/exec.js'

export interface Outcome {
  code: number
  signal: number
  /** stdout and stderr as they came. */
  output: string
}

export interface Started {
  id: string
  finished: Promise<Outcome>
  /** Resolves once this has been in the output. */
  said(text: string): Promise<void>
  input(text: string): Promise<void>
}

let sequence = 0

/** Runs containers on the native driver, one machine for a whole test file. */
export class FieldRunner {
  readonly machine = new ExecMachine()
  readonly driver = new NativeExec(this.machine.context('native'))

  /** Runs a shell script in a container to its end. */
  async run(script: string, options: ContainerOptions = {}): Promise<Outcome> {
    return this.start({ args: ['sh', '-c', script], ...options }).then(({ finished }) => finished)
  }

  async start(options: ContainerOptions): Promise<Started> {
    const id = `field-${process.pid}-${sequence++}`
    const container = await this.machine.container(id, options, false)
    await this.driver.run(container)
    const link = this.machine.spawner.get(id)
    if (!link) throw new Error(`no shim ${id}`)
    let output = ''
    let heard: () => void = () => undefined
    link.onOutput = (_source, data) => {
      output += data.toString()
      heard()
    }
    link.stream(true)
    const finished = (async () => {
      const { code, signal } = await link.exited
      await link.ended
      link.close()
      await this.driver.delete(id)
      return { code, signal, output }
    })()
    return {
      id,
      finished,
      async said(text) {
        while (!output.includes(text)) await new Promise<void>((resolve) => (heard = resolve))
      },
      async input(text) {
        await link.writeStdin(Buffer.from(text))
        link.closeStdin()
      },
    }
  }

  /** One value that a container sees of its own v1 cgroup. */
  async cgroup(file: string, options: ContainerOptions): Promise<string> {
    const controller = file.slice(0, file.indexOf('.'))
    return (await this.run(`cat /sys/fs/cgroup/${controller}/${file}`, options)).output.trim()
  }

  remove(): void {
    this.machine.remove()
  }
}
