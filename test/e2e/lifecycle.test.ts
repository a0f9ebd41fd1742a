import { lifecycleTests } from '../fixtures/lifecycle.js'
import { daemonSuite } from '../fixtures/suite.js'

lifecycleTests(daemonSuite())
