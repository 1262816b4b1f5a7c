import type { DashboardDescription } from './build.ts';
import { FLEET } from './fleet.ts';
import { OPERATOR } from './operator.ts';
import { SERVING } from './serving.ts';
import { TRAINING } from './training.ts';

export const DASHBOARDS: readonly DashboardDescription[] = [FLEET, TRAINING, SERVING, OPERATOR];
