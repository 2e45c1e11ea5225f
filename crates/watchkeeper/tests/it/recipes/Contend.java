// `Contend ADDRESS`: Curator's recipes in a state that lasts as long as this process does: a mutex
// with one holder and two waiters, a read/write lock with two readers and a writer behind them, a
// queue with three items, and a service of the discovery.

import java.nio.charset.StandardCharsets;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;

public class Contend {
    static void wait(InterProcessLock lock) {
        Thread thread = new Thread(() -> {
            try {
                lock.acquire();
            } catch (Exception wrong) {
                wrong.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    static void until(CuratorFramework zk, String path, int children) throws Exception {
        while (zk.checkExists().forPath(path) == null
                || zk.getChildren().forPath(path).size() < children) {
            Thread.sleep(20);
        }
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework zk = CuratorFrameworkFactory.newClient(
                args[0], 4000, 10000, new ExponentialBackoffRetry(200, 5));
        zk.start();
        new InterProcessMutex(zk, "/curator/lock").acquire();
        for (int i = 0; i < 2; i++) wait(new InterProcessMutex(zk, "/curator/lock"));
        InterProcessReadWriteLock shared = new InterProcessReadWriteLock(zk, "/curator/shared");
        shared.readLock().acquire();
        wait(new InterProcessReadWriteLock(zk, "/curator/shared").readLock());
        until(zk, "/curator/shared", 2);
        wait(new InterProcessReadWriteLock(zk, "/curator/shared").writeLock());
        SimpleDistributedQueue queue = new SimpleDistributedQueue(zk, "/curator/queue");
        for (int i = 0; i < 3; i++) queue.offer(("item " + i).getBytes(StandardCharsets.UTF_8));
        ServiceInstance<Void> instance = ServiceInstance.<Void>builder()
                .name("shop").id("one").address("127.0.0.1").port(8080).build();
        ServiceDiscoveryBuilder.builder(Void.class).client(zk).basePath("/services")
                .thisInstance(instance).build().start();
        until(zk, "/curator/lock", 3);
        until(zk, "/curator/shared", 3);
        until(zk, "/services/shop", 1);
        System.out.println("ready");
        System.out.flush();
        Thread.sleep(Long.MAX_VALUE);
    }
}
