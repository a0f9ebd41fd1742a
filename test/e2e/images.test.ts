import { imageTests } from '../fixtures/images.js'
import { daemonSuite } from '../fixtures/suite.js'

imageTests(daemonSuite(), 'overlay2')
