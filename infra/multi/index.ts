// What `pulumi up` runs. The outputs of the stack are what is exported here.
import { multiProgram } from './program.ts';

export const { kubeconfig, kubeconfigGcp, bucket, registry, registryGcp, gateway, cost, keptByDestroy } = await multiProgram();
