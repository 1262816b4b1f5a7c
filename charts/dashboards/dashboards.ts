import type { DashboardDescription } from './build.ts';
import { DATA_AND_EVALUATION } from './data-and-evaluation.ts';
import { FLEET } from './fleet.ts';
import { OPERATOR } from './operator.ts';
import { SERVING } from './serving.ts';
import { TRAINING } from './training.ts';

export const DASHBOARDS: readonly DashboardDescription[] = [FLEET, TRAINING, DATA_AND_EVALUATION, SERVING, OPERATOR];
